"""Which layers of a model an adapter goes on: those of its basis, narrowed down by its config."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

from peft.tuners.tuners_utils import BaseTunerLayer, check_target_module_exists
from torch import nn

from sparsegrad_shared.errors import InvalidInput, UnsupportedModel

from ...basis import Basis
from ...fitting import check_shape, missing_layer
from ...layers.plain import shape_of
from .config import SparseGradPeftConfig


def takes(config: SparseGradPeftConfig, layer: str) -> bool:
    """Whether a config takes a layer that its basis names."""
    targets = config.target_modules
    wanted = targets if isinstance(targets, str) else {layer} if targets is None else set(targets)
    return _matches(wanted, layer, config.modules_to_save)


def _matches(targets: set[str] | str, layer: str, saved: list[str] | None = None) -> bool:
    # PEFT's own rules, so that names and expressions mean what they mean for other methods.
    wanted = SimpleNamespace(target_modules=targets, modules_to_save=saved)
    return bool(check_target_module_exists(wanted, layer))


def check_targets(config: SparseGradPeftConfig, basis: Basis, model: nn.Module) -> None:
    """Hold a config, its basis and a model to one another, before anything is changed.

    Raises:
        InvalidInput: when a target matches no layer of the basis.
        UnsupportedModel: when the model lacks a layer (the nearest names are given), has another
            kind of module there, or two layers share their weight.
        ShapeMismatch: when a layer has other sizes than its group in the basis.
    """
    _check_matches(config, basis)
    modules = dict(model.named_modules())
    sharing: dict[int, str] = {}
    for layer in basis.layers:
        if not takes(config, layer):
            continue
        module = modules.get(layer)
        if module is None and layer in dict(model.named_modules(remove_duplicate=False)):
            raise UnsupportedModel(
                f"layer {layer!r} stands at another place of the model too, and PEFT would adapt "
                "it there alone; calibrate a basis that names that place only"
            )
        if module is None:
            raise missing_layer(basis, layer, _linear_names(modules))
        check_shape(basis, layer, shape_of(module, layer))
        _check_untied(module, layer, sharing)


def _check_matches(config: SparseGradPeftConfig, basis: Basis) -> None:
    targets = config.target_modules
    each: list[set[str] | str] = (
        [targets] if isinstance(targets, str) else [{t} for t in targets or ()]
    )
    for target in each:
        if not any(_matches(target, layer) for layer in basis.layers):
            raise InvalidInput(
                f"target_modules: {target!r} matches no layer of basis {basis}, which has groups "
                f"{', '.join(basis.groups)}, such as {basis.layers[0]!r}; leave it out, or "
                "calibrate a basis for those layers"
            )


def _linear_names(modules: dict[str, nn.Module]) -> Iterator[str]:
    for name, module in modules.items():
        try:
            shape_of(module, name)
        except UnsupportedModel:
            continue
        yield name


def _check_untied(module: nn.Module, layer: str, sharing: dict[int, str]) -> None:
    base = module.get_base_layer() if isinstance(module, BaseTunerLayer) else module
    weight = getattr(base, "weight", None)
    first = sharing.setdefault(id(weight), layer)
    if weight is not None and first != layer:
        raise UnsupportedModel(
            f"layers {first!r} and {layer!r} share their weight, so merging an adapter into one "
            "would change the other. Untie them first"
        )
