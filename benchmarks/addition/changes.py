"""What training changed, and sums of it on a model: of our adapters, and of LoRA's factors.

A change is the layers' and a head. Only the layers' can be added: each task keeps its own head.
Ours add up in the sparse space (`Adapter`), LoRA's as the products B A that they stand for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Protocol

import safetensors.torch
import torch
from methods import Method, Setting, head_of
from torch import Tensor, nn

from sparsegrad_client import Basis, load_adapter, read_adapter, save_adapter
from sparsegrad_client.adapters import Lora, save_lora
from sparsegrad_client.adapters.lora import LayerFactors

ADAPTER = "default"  # what PEFT calls the only one
_PREFIX = "base_model.model."  # of the names in PEFT's files
_FACTORS = (".lora_A.weight", ".lora_B.weight")


class Changes(Protocol):
    """Changes of one method, each in a folder."""

    def save(self, setting: Setting, folder: Path) -> None:
        """Write what training changed of a model into a new folder, whole or not at all."""

    def put(self, model: nn.Module, own: Path, added: Sequence[Path], scale: float) -> None:
        """Put the sum of some changes, times `scale`, on a fresh model, and the head of `own`."""


def changes_of(method: Method, basis: Basis | None) -> Changes:
    """How a method's changes are kept."""
    return _Factors() if basis is None else _Adapters(basis)


class _Adapters:
    """Ours, on one basis."""

    def __init__(self, basis: Basis) -> None:
        self._basis = basis

    def save(self, setting: Setting, folder: Path) -> None:
        save_adapter(setting.model, folder)

    def put(self, model: nn.Module, own: Path, added: Sequence[Path], scale: float) -> None:
        head_alone = read_adapter(own) * 0.0
        others = (read_adapter(folder).without_parameters() for folder in added)
        total = reduce(add, (other * scale for other in others), head_alone)
        load_adapter(model, total, self._basis)


class _Factors:
    """LoRA's, in PEFT's files."""

    def save(self, setting: Setting, folder: Path) -> None:
        heads = {id(parameter) for parameter in head_of(setting.model)}
        named = setting.model.named_parameters()
        layers = {path: _factors(setting.model.get_submodule(path)) for path in setting.paths}
        lora = Lora(
            rank=max(factors.A.shape[0] for factors in layers.values()),
            layers=layers,
            parameters={name: value.detach().cpu() for name, value in named if id(value) in heads},
        )
        save_lora(lora, folder)

    @torch.no_grad()
    def put(self, model: nn.Module, own: Path, added: Sequence[Path], scale: float) -> None:
        for name, value in _tensors(own).items():
            if not name.endswith(_FACTORS):
                model.get_parameter(name).copy_(value)
        for folder in added:
            tensors = _tensors(folder)
            for path in (name.removesuffix(_FACTORS[0]) for name in tensors):
                if path + _FACTORS[0] in tensors:
                    A, B = (tensors[path + name] for name in _FACTORS)
                    weight = model.get_parameter(f"{path}.weight")
                    weight.add_((B @ A).to(weight), alpha=scale)


def _factors(layer: Any) -> LayerFactors:  # noqa: ANN401 - a class that PEFT makes
    A, B = (getattr(layer, name)[ADAPTER].weight.detach().cpu() for name in ("lora_A", "lora_B"))
    B = B * layer.scaling[ADAPTER]
    return LayerFactors(A, B, norm=float(torch.linalg.matrix_norm(B @ A)), dropped=0.0)


def _tensors(folder: Path) -> dict[str, Tensor]:
    read = safetensors.torch.load_file(folder / "adapter_model.safetensors")
    return {name.removeprefix(_PREFIX): value for name, value in read.items()}
