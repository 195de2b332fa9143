"""From an adapter of our own to one of PEFT and back, entry by entry.

Other parameters that an adapter has, such as a task head, are what PEFT calls modules to save.
"""

from __future__ import annotations

import re

import torch
from peft import PeftModel, get_peft_model
from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn

from sparsegrad_shared.errors import InvalidInput, ShapeMismatch, UnsupportedModel

from ...adapters import Adapter
from .config import SparseGradPeftConfig
from .layer import SparseGradPeftLayer
from .model import SparseGradPeftModel


def to_adapter(model: PeftModel, adapter_name: str = "default") -> Adapter:
    """An adapter of a PEFT model as a value, to add, to save, or to make a LoRA of.

    Raises:
        InvalidInput: when there is no such adapter, or it is not one of SparseGrad.
    """
    tuner = model.base_model
    if not isinstance(tuner, SparseGradPeftModel):
        raise InvalidInput(
            f"expected a model with SparseGrad adapters, got a {type(tuner).__name__}"
        )
    basis = tuner.basis_of(adapter_name)
    config = tuner.peft_config[adapter_name]
    return Adapter(
        basis_digest=basis.digest,
        layers={
            layer.name: layer.delta(adapter_name)
            for layer in tuner.modules()
            if isinstance(layer, SparseGradPeftLayer) and layer.has_adapter(adapter_name)
        },
        parameters={
            f"{path}.{name}": parameter.detach().to("cpu", copy=True)
            for path, module in _saved_modules(tuner.model, adapter_name).items()
            for name, parameter in module.named_parameters()
        },
        basis_reference=config.basis,
        model=config.base_model_name_or_path or basis.model,
        origin=f"adapter {adapter_name!r}",
    )


def from_adapter(model: nn.Module, adapter: Adapter, adapter_name: str = "default") -> PeftModel:
    """Put an adapter of our own on a model, as PEFT does.

    Args:
        model: a plain model with the weights that training began with, or a PEFT model with
            other SparseGrad adapters.
        adapter: the adapter.
        adapter_name: its name in the PEFT model.

    Raises:
        UnsupportedModel: when the model lacks a layer or a parameter, or PEFT cannot hold it.
        ShapeMismatch: when a layer or a parameter has another shape.
        InvalidInput: when the adapter changes no layer.
        SparseGradError: what `fetch_basis` raises.
    """
    plain = model.get_base_model() if isinstance(model, PeftModel) else model
    changed = {name: delta for name, delta in adapter.layers.items() if len(delta)}
    if not changed:
        raise InvalidInput(f"{adapter.origin}: it changes no layer; train it first")
    config = SparseGradPeftConfig(
        basis=adapter.basis_reference,
        basis_digest=adapter.basis_digest,
        target_modules="|".join(map(re.escape, sorted(changed))),
        modules_to_save=sorted(_modules_of(adapter, plain)) or None,
        entries=max(map(len, changed.values())),
    )
    if isinstance(model, PeftModel):
        model.add_adapter(adapter_name, config)
    else:
        model = get_peft_model(model, config, adapter_name)
    for layer in plain.modules():
        if isinstance(layer, SparseGradPeftLayer) and layer.has_adapter(adapter_name):
            delta = changed[layer.name]
            layer.set_entries(adapter_name, delta.indices, delta.values)
    for path, module in _saved_modules(plain, adapter_name).items():
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.copy_(adapter.parameters[f"{path}.{name}"])
    return model


def _saved_modules(model: nn.Module, adapter_name: str) -> dict[str, nn.Module]:
    """An adapter's own modules by the path that they stand at."""
    return {
        path: module.modules_to_save[adapter_name]
        for path, module in model.named_modules()
        if isinstance(module, ModulesToSaveWrapper) and adapter_name in module.modules_to_save
    }


def _modules_of(adapter: Adapter, model: nn.Module) -> set[str]:
    """The modules that an adapter's other parameters make up, whole."""
    modules = {name.rpartition(".")[0] for name in adapter.parameters}
    for path in modules:
        expected = _parameters(model, path)
        found = {n: p for n, p in adapter.parameters.items() if n.rpartition(".")[0] == path}
        if path in adapter.layers or found.keys() != expected.keys():
            raise UnsupportedModel(
                f"{adapter.origin}: it trained {', '.join(sorted(found))}; PEFT holds parameters "
                "outside of the adapter by whole modules, which these are not. Take "
                "adapter.without_parameters()"
            )
        for name, parameter in found.items():
            if parameter.shape != expected[name].shape:
                raise ShapeMismatch(
                    f"{adapter.origin}: parameter {name!r} is {tuple(parameter.shape)}, and "
                    f"{tuple(expected[name].shape)} in the model"
                )
    return modules


def _parameters(model: nn.Module, path: str) -> dict[str, Tensor]:
    try:
        module = model.get_submodule(path)
    except AttributeError:
        return {}
    if isinstance(module, ModulesToSaveWrapper):
        module = module.original_module
    return {f"{path}.{name}": parameter for name, parameter in module.named_parameters()}
