"""Adapters, as rows of tables."""

from __future__ import annotations

from pathlib import Path

from ..adapters import Adapter, Lora
from ..config import SparseGradConfig
from .tables import Row, share_text, size_text

LAYER_COLUMNS = ("layer", "d_out x d_in", "entries touched", "share", "norm of the change")
PARAMETER_COLUMNS = ("other trained parameter", "shape")
LORA_COLUMNS = ("layer", "norm of the change", "relative error")


def summary(adapter: Adapter, path: Path) -> dict[str, str]:
    """What an adapter is of, by label."""
    weights = sum(delta.shape.d_out * delta.shape.d_in for delta in adapter.layers.values())
    return {
        "basis": adapter.basis_reference or "without a name",
        "digest": adapter.basis_digest,
        "model": adapter.model or "not known",
        "training": _training(adapter.training),
        "entries": f"{adapter.entries:,} touched, of {weights:,} weights in "
        f"{len(adapter.layers)} layers",
        "on disk": size_text(sum(part.stat().st_size for part in path.iterdir())),
    }


def adapter_data(adapter: Adapter, path: Path) -> dict[str, object]:
    """The same for other programs, with the layers."""
    return {
        "adapter": path,
        "basis": adapter.basis_reference,
        "digest": adapter.basis_digest,
        "model": adapter.model,
        "training": adapter.training,
        "entries": adapter.entries,
        "bytes": sum(part.stat().st_size for part in path.iterdir()),
        "layers": {
            name: {
                "d_out": delta.shape.d_out,
                "d_in": delta.shape.d_in,
                "entries": len(delta),
                "norm": delta.norm,
            }
            for name, delta in adapter.layers.items()
        },
        "parameters": {name: list(value.shape) for name, value in adapter.parameters.items()},
    }


def _training(config: SparseGradConfig | None) -> str:
    if config is None:
        return "a sum of adapters that were trained differently"
    given = {name: value for name, value in vars(config).items() if value is not None}
    return ", ".join(f"{name} {_text(value)}" for name, value in given.items())


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "nothing"
    return str(value)


def layer_rows(adapter: Adapter) -> list[Row]:
    """Each layer: its size, the entries that training touched, ‖ΔW̃‖."""
    return [
        (
            name,
            f"{delta.shape.d_out} x {delta.shape.d_in}",
            f"{len(delta):,}",
            share_text(len(delta) / delta.shape.size),
            f"{delta.norm:.3g}",
        )
        for name, delta in adapter.layers.items()
    ]


def parameter_rows(adapter: Adapter) -> list[Row]:
    """What else was trained."""
    return [(name, " x ".join(map(str, value.shape))) for name, value in adapter.parameters.items()]


def lora_rows(lora: Lora) -> list[Row]:
    """Each layer's error, and that of all together."""
    rows = [
        (name, f"{factors.norm:.3g}", f"{factors.error:.2%}")
        for name, factors in lora.layers.items()
    ]
    return [*rows, ("all layers", f"{lora.norm:.3g}", f"{lora.error:.2%}")]
