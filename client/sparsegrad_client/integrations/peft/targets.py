"""Which layers of a model an adapter goes on: those of its basis, narrowed down by its config."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from types import SimpleNamespace

from peft.tuners.tuners_utils import BaseTunerLayer, check_target_module_exists
from torch import nn

from sparsegrad_shared.errors import InvalidInput, ShapeMismatch, UnsupportedModel

from ...basis import Basis
from .config import SparseGradPeftConfig
from .features import features


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
        if module is None:
            raise UnsupportedModel(_missing(layer, modules, basis))
        _check_shape(module, layer, basis)
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


def _missing(layer: str, modules: dict[str, nn.Module], basis: Basis) -> str:
    nearest = difflib.get_close_matches(layer, _linear_names(modules), n=3, cutoff=0.0)
    hint = f"the nearest are {', '.join(nearest)}" if nearest else "it has no linear layer"
    return (
        f"basis {basis} is for a layer {layer!r}, which the model does not have at one place of "
        f"its own; {hint}. This basis was calibrated on "
        f"{basis.model or 'a model that it does not name'}"
    )


def _linear_names(modules: dict[str, nn.Module]) -> Iterator[str]:
    for name, module in modules.items():
        try:
            features(module, name)
        except UnsupportedModel:
            continue
        yield name


def _check_shape(module: nn.Module, layer: str, basis: Basis) -> None:
    group = basis.group_of(layer)
    d_in, d_out = features(module, layer)
    if (d_out, d_in) != (group.d_out, group.d_in):
        raise ShapeMismatch(
            f"basis group {group.name!r} is {group.d_out} x {group.d_in}, layer {layer!r} is "
            f"{d_out} x {d_in}. This basis was calibrated on "
            f"{basis.model or 'a model that it does not name'}"
        )


def _check_untied(module: nn.Module, layer: str, sharing: dict[int, str]) -> None:
    base = module.get_base_layer() if isinstance(module, BaseTunerLayer) else module
    weight = getattr(base, "weight", None)
    first = sharing.setdefault(id(weight), layer)
    if weight is not None and first != layer:
        raise UnsupportedModel(
            f"layers {first!r} and {layer!r} share their weight, so merging an adapter into one "
            "would change the other. Untie them first"
        )
