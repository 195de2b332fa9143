"""Between a model and an adapter: `save_adapter`, `load_adapter`."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from sparsegrad_shared.errors import InvalidInput, ShapeMismatch, UnsupportedModel, WrongBasis

from ..basis import Basis
from ..config import SparseGradConfig
from ..convert import plan, sparsify_for
from ..layers import SparseGradLinear, require_sparse_layers, sparse_layers
from ..layers.sample import may_be_same
from ..sharding import unwrapped, whole
from ..support import Support
from .adapter import Adapter, read_adapter
from .delta import LayerDelta, LayerShape


def save_adapter(model: nn.Module, path: str | Path) -> None:
    """Write what training changed into a folder.

    The folder appears whole or not at all; an adapter that stood there is replaced. Under DDP one
    rank does it; under FSDP2 all ranks call `adapter_of`, and one saves what it got.

    Args:
        model: a model that `sparsify` made.
        path: the folder.

    Raises:
        InvalidInput: when the model has no sparse layers, or the folder holds something else.
        OSError: when the disk refuses.
    """
    adapter_of(model).save(path)


def adapter_of(model: nn.Module) -> Adapter:
    """What training has changed in a model so far, as a value of its own.

    Under FSDP2 all ranks have to ask at once, and each gets it whole; then one saves it.

    Raises:
        InvalidInput: when the model has no sparse layers, or training made a value that is not
            finite.
    """
    model = unwrapped(model)
    layers = {layer.name: layer for layer in require_sparse_layers(model).values()}
    first = next(iter(layers.values()))
    own_name = getattr(getattr(model, "config", None), "name_or_path", None)
    return Adapter(
        basis_digest=first.basis.digest,
        layers={name: _delta_of(layer) for name, layer in layers.items()},
        parameters={
            name: _copy(parameter)
            for name, parameter in _plain_parameters(model).items()
            if parameter.requires_grad
        },
        basis_reference=first.basis.reference,
        model=first.basis.model or own_name or None,
        training=_settings(first),
        origin="the model",
    )


def _settings(layer: SparseGradLinear) -> SparseGradConfig:
    """How a layer trains; a block that `auto` chose stays one, on weights of any type."""
    is_block = layer.config.selection == "auto" and isinstance(layer.support, Support)
    return replace(layer.config, selection="block") if is_block else layer.config


def _delta_of(layer: SparseGradLinear) -> LayerDelta:
    delta = layer.delta
    shape = LayerShape.of(layer.group)
    return LayerDelta(shape, _copy(delta.indices), _copy(delta.values), layer.sample)


def _copy(tensor: Tensor) -> Tensor:
    return whole(tensor.detach()).to("cpu", copy=True)


def _plain_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters outside of the sparse weights, by their names in the plain model.

    A bias belongs to its layer, wherever the layer's engine keeps it.
    """
    sparse = sparse_layers(model)
    inside = {id(parameter) for layer in sparse.values() for parameter in layer.parameters()}
    found = {
        name: parameter
        for name, parameter in model.named_parameters()
        if id(parameter) not in inside
    }
    for path, layer in sparse.items():
        if isinstance(layer.bias, nn.Parameter):
            found[f"{path}.bias"] = layer.bias
    return found


def load_adapter(model: nn.Module, adapter: Adapter | str | Path, basis: Basis) -> nn.Module:
    """Put an adapter on a model, in place.

    A plain model is made sparse first, with the settings and the support that the adapter was
    trained with, or the default settings when it is a sum of differently trained ones. All
    checks come before the first change: on an error the model is as it was. There is a warning
    when the weights are not those that training began with.

    Args:
        model: a plain model with the weights that training began with, or one that `sparsify`
            made on the same basis and that was not trained.
        adapter: the adapter, or its folder.
        basis: the basis that the adapter was trained on.

    Returns:
        The same model, ready to run, to train on, or for `merge`.

    Raises:
        NotFound: when there is no adapter in the folder.
        CorruptFile: when a file is not what was once written.
        WrongBasis: when the adapter was trained on another basis; names both.
        ShapeMismatch: when a tensor has another shape than its place in the model.
        UnsupportedModel: when the model lacks a layer or parameter of the adapter.
        InvalidInput: when the model was trained already.
    """
    if not isinstance(adapter, Adapter):
        adapter = read_adapter(adapter)
    check_basis(adapter, basis)
    check_shapes(adapter, basis)
    parameters = _match_parameters(adapter, model)
    _check_layers(adapter, basis, model)

    if not sparse_layers(model):
        positions = {name: delta.indices for name, delta in adapter.layers.items()}
        sparsify_for(model, basis, adapter.training or SparseGradConfig(), positions)
    _warn_of_other_weights(adapter, sparse_layers(model).values())
    for layer in sparse_layers(model).values():
        delta, device = adapter.layers[layer.name], layer.delta.values.device
        layer.add_delta_(delta.indices.to(device), delta.values.to(device))
    with torch.no_grad():
        for parameter, value in parameters:
            parameter.copy_(value)
    return model


def _warn_of_other_weights(adapter: Adapter, layers: Collection[SparseGradLinear]) -> None:
    odd = []
    for layer in layers:
        theirs = adapter.layers[layer.name].sample
        if layer.sample is not None and theirs is not None:
            odd += [] if may_be_same(layer.sample, theirs) else [layer.name]
    if odd:
        warnings.warn(
            f"{adapter.origin}: the model's weights are not those that training began with, in "
            f"{len(odd)} of {len(layers)} layers ({odd[0]!r} is the first); expect other outputs. "
            f"The adapter was trained on {adapter.model or 'a model that it does not name'}",
            stacklevel=3,
        )


def check_basis(adapter: Adapter, basis: Basis) -> None:
    """Hold a basis to the one that the adapter was trained on.

    Raises:
        WrongBasis: when it is another; names both.
    """
    if adapter.basis_digest != basis.digest:
        raise WrongBasis(
            f"{adapter.origin}: the adapter was trained on basis {adapter.basis_name}, "
            f"not on {basis.reference or 'this one'} ({basis.digest}); fetch the first"
        )


def check_shapes(adapter: Adapter, basis: Basis) -> None:
    """Hold the adapter's layers to the shapes that the basis has for them.

    Raises:
        ShapeMismatch: when one has another; names it.
        InvalidInput: when the basis has no such layer.
    """
    for name, delta in adapter.layers.items():
        expected = LayerShape.of(basis.group_of(name))
        if delta.shape != expected:
            raise ShapeMismatch(
                f"{adapter.origin}: layer {name!r}: expected {expected}, got {delta.shape}"
            )


def _match_parameters(adapter: Adapter, model: nn.Module) -> list[tuple[nn.Parameter, Tensor]]:
    ours = _plain_parameters(model)
    matched = []
    for name, value in adapter.parameters.items():
        if name not in ours:
            raise UnsupportedModel(
                f"{adapter.origin}: the adapter trained a parameter {name!r}, which the model "
                "does not have; it was trained on "
                f"{adapter.model or 'a model that it does not name'}"
            )
        if ours[name].shape != value.shape:
            raise ShapeMismatch(
                f"{adapter.origin}: parameter {name!r} is {tuple(value.shape)} in the adapter and "
                f"{tuple(ours[name].shape)} in the model"
            )
        matched.append((ours[name], value))
    return matched


def _check_layers(adapter: Adapter, basis: Basis, model: nn.Module) -> None:
    """Hold the model's layers, sparse or still to be made so, to the adapter's."""
    sparse = sparse_layers(model)
    for layer in sparse.values():
        check_basis(adapter, layer.basis)
        changed = int(layer.delta.values.count_nonzero())
        if changed:
            raise InvalidInput(
                f"{adapter.origin}: layer {layer.name!r} of the model was trained already "
                f"({changed} entries changed); load the adapter into a fresh model"
            )
    names = {layer.name for layer in sparse.values()} or {
        replacement.name for replacement in plan(model, basis)
    }
    if names != set(adapter.layers):
        odd = sorted(names ^ set(adapter.layers))
        raise UnsupportedModel(
            f"{adapter.origin}: the adapter and the model disagree about layers "
            f"{', '.join(odd[:5])}"
        )
