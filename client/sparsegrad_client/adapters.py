"""Adapters: what training changed, as a basis's digest and (index, value) pairs.

`save_adapter` writes the sparse changes of a model's layers and its other trained parameters;
`load_adapter` puts them on a model with the same plain weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from sparsegrad_shared.digests import digest_of
from sparsegrad_shared.errors import (
    CorruptFile,
    InvalidInput,
    ShapeMismatch,
    UnsupportedModel,
    WrongBasis,
)

from .adapter_files import AdapterConfig, LayerShape, TrainingConfig, read_adapter, write_adapter
from .basis import Basis, GroupBasis
from .config import SparseGradConfig
from .convert import plan, sparsify
from .layers import SparseGradLinear, require_sparse_layers, sparse_layers
from .sparse_vector import check_entries


def save_adapter(model: nn.Module, path: str | Path) -> None:
    """Write what training changed into a folder.

    The folder appears whole or not at all; an adapter that stood there is replaced.

    Args:
        model: a model that `sparsify` made.
        path: the folder.

    Raises:
        InvalidInput: when the model has no sparse layers, or the folder holds something else.
        OSError: when the disk refuses.
    """
    layers = {layer.name: layer for layer in require_sparse_layers(model).values()}
    tensors: dict[str, Tensor] = {}
    for name, layer in layers.items():
        tensors[f"{name}.indices"] = _compact(layer.delta.indices, layer.size)
        tensors[f"{name}.values"] = layer.delta.values
    others = _trained_parameters(model, layers)
    tensors |= others
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = safetensors.torch.save(on_cpu)
    config = _describe(model, layers, tuple(others), digest_of([data]))
    write_adapter(Path(path), data, config)


def _compact(indices: Tensor, size: int) -> Tensor:
    return indices.int() if size <= torch.iinfo(torch.int32).max else indices


def _trained_parameters(
    model: nn.Module, layers: Mapping[str, SparseGradLinear]
) -> dict[str, nn.Parameter]:
    handles = {id(layer.coordinates) for layer in layers.values()}
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and id(parameter) not in handles
    }


def _describe(
    model: nn.Module,
    layers: Mapping[str, SparseGradLinear],
    others: tuple[str, ...],
    tensors_digest: str,
) -> AdapterConfig:
    first = next(iter(layers.values()))
    own_name = getattr(getattr(model, "config", None), "name_or_path", None)
    return AdapterConfig(
        basis_digest=first.basis.digest,
        basis_reference=first.basis.reference,
        model=first.basis.model or own_name or None,
        training=TrainingConfig(**asdict(first.config)),
        layers={name: _shape_of(layer.group, len(layer.delta)) for name, layer in layers.items()},
        parameters=others,
        tensors_digest=tensors_digest,
    )


def _shape_of(group: GroupBasis, entries: int) -> LayerShape:
    return LayerShape(
        d_out=group.d_out, d_in=group.d_in, r_out=group.r_out, r_in=group.r_in, entries=entries
    )


def load_adapter(model: nn.Module, path: str | Path, basis: Basis) -> nn.Module:
    """Put an adapter on a model, in place.

    A plain model is made sparse first, with the settings that the adapter was trained with. All
    checks come before the first change: on an error the model is as it was.

    Args:
        model: a plain model with the weights that training began with, or one that `sparsify`
            made on the same basis and that was not trained.
        path: the adapter's folder.
        basis: the basis that the adapter was trained on.

    Returns:
        The same model, ready to run, to train on, or for `merge`.

    Raises:
        NotFound: when there is no adapter at `path`.
        CorruptFile: when a file is not what was once written.
        WrongBasis: when the adapter was trained on another basis; names both.
        ShapeMismatch: when a tensor has another shape than its place in the model.
        UnsupportedModel: when the model lacks a layer or parameter of the adapter.
        InvalidInput: when the model was trained already.
    """
    path = Path(path)
    config, tensors = read_adapter(path)
    _check_basis(path, config, basis)
    _check_names(path, config, tensors)
    deltas = _read_deltas(path, config, tensors, basis)
    parameters = _match_parameters(path, config, tensors, model)
    _check_layers(path, config, basis, model)

    if not sparse_layers(model):
        sparsify(model, basis, SparseGradConfig(**config.training.model_dump()))
    for layer in sparse_layers(model).values():
        indices, values = (tensor.to(layer.delta.values.device) for tensor in deltas[layer.name])
        layer.add_entries_(indices, values)
    with torch.no_grad():
        for parameter, value in parameters:
            parameter.copy_(value)
    return model


def _check_basis(path: Path, config: AdapterConfig, basis: Basis) -> None:
    if config.basis_digest != basis.digest:
        raise WrongBasis(
            f"{path}: the adapter was trained on basis "
            f"{config.basis_reference or 'without a name'} ({config.basis_digest}), "
            f"not on {basis.reference or 'this one'} ({basis.digest}); fetch the first"
        )


def _check_names(path: Path, config: AdapterConfig, tensors: Mapping[str, Tensor]) -> None:
    parts = {f"{name}.{part}" for name in config.layers for part in ("indices", "values")}
    expected = parts | set(config.parameters)
    if expected != set(tensors):
        odd = sorted(expected ^ set(tensors))
        raise CorruptFile(f"{path}: config and tensors disagree about {', '.join(odd[:5])}")


def _read_deltas(
    path: Path, config: AdapterConfig, tensors: Mapping[str, Tensor], basis: Basis
) -> dict[str, tuple[Tensor, Tensor]]:
    deltas = {}
    for name, shape in config.layers.items():
        expected = _shape_of(basis.group_of(name), shape.entries)
        if shape != expected:
            raise ShapeMismatch(f"{path}: layer {name!r}: expected {expected}, got {shape}")
        indices, values = tensors[f"{name}.indices"], tensors[f"{name}.values"]
        check_entries(indices, values, shape.r_out * shape.r_in, where=f"{path}: layer {name!r}")
        deltas[name] = (indices.long(), values)
    return deltas


def _match_parameters(
    path: Path, config: AdapterConfig, tensors: Mapping[str, Tensor], model: nn.Module
) -> list[tuple[nn.Parameter, Tensor]]:
    ours = dict(model.named_parameters())
    matched = []
    for name in config.parameters:
        if name not in ours:
            raise UnsupportedModel(
                f"{path}: the adapter trained a parameter {name!r}, which the model does not "
                f"have; it was trained on {config.model or 'a model that it does not name'}"
            )
        if ours[name].shape != tensors[name].shape:
            raise ShapeMismatch(
                f"{path}: parameter {name!r} is {tuple(tensors[name].shape)} in the adapter and "
                f"{tuple(ours[name].shape)} in the model"
            )
        matched.append((ours[name], tensors[name]))
    return matched


def _check_layers(path: Path, config: AdapterConfig, basis: Basis, model: nn.Module) -> None:
    """Hold the model's layers, sparse or still to be made so, to the adapter's."""
    sparse = sparse_layers(model)
    for layer in sparse.values():
        _check_basis(path, config, layer.basis)
        if len(layer.delta):
            raise InvalidInput(
                f"{path}: layer {layer.name!r} of the model was trained already "
                f"({len(layer.delta)} entries changed); load the adapter into a fresh model"
            )
    names = {layer.name for layer in sparse.values()} or {
        replacement.name for replacement in plan(model, basis)
    }
    if names != set(config.layers):
        odd = sorted(names ^ set(config.layers))
        raise UnsupportedModel(
            f"{path}: the adapter and the model disagree about layers {', '.join(odd[:5])}"
        )
