"""A LoRA on disk, as PEFT reads it: ``peft.PeftModel.from_pretrained(model, folder)``.

::

    adapter_model.safetensors  base_model.model.<layer>.lora_A.weight    rank × d_in
                               base_model.model.<layer>.lora_B.weight    d_out × rank
                               base_model.model.<layer>.base_layer.bias  d_out, where it trained
                               base_model.model.<name>                   other trained parameters
    adapter_config.json        PEFT's `LoraConfig`, as far as it differs from its defaults

PEFT restores parameters outside of LoRA's layers by whole modules (`modules_to_save`).
"""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
from torch import Tensor

from sparsegrad_shared.errors import InvalidInput

from ..folders import new_folder
from .lora import Lora

TENSORS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."


def save_lora(lora: Lora, path: str | Path) -> None:
    """Write a LoRA into a new folder, which appears whole or not at all.

    Raises:
        InvalidInput: when the folder holds something, or a trained parameter belongs to no
            module, so that PEFT could not restore it.
        OSError: when the disk refuses.
    """
    biases = {f"{layer}.bias" for layer in lora.layers}
    others = [name for name in lora.parameters if name not in biases]
    tensors: dict[str, Tensor] = {}
    for layer, factors in lora.layers.items():
        tensors[f"{_PREFIX}{layer}.lora_A.weight"] = factors.A
        tensors[f"{_PREFIX}{layer}.lora_B.weight"] = factors.B
    for name, value in lora.parameters.items():
        key = f"{name.removesuffix('.bias')}.base_layer.bias" if name in biases else name
        tensors[_PREFIX + key] = value
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": lora.model,
        "r": lora.rank,
        "lora_alpha": lora.rank,  # the scale is lora_alpha / r = 1
        "target_modules": sorted(lora.layers),
        "bias": "lora_only" if biases & set(lora.parameters) else "none",
        "modules_to_save": sorted({_module_of(name) for name in others}) or None,
        "inference_mode": True,
    }
    data = safetensors.torch.save(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, metadata={"format": "pt"}
    )
    with new_folder(Path(path)) as folder:
        (folder / TENSORS).write_bytes(data)
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _module_of(parameter: str) -> str:
    module, _, _ = parameter.rpartition(".")
    if not module:
        raise InvalidInput(
            f"the adapter trained a parameter {parameter!r} of the model itself; PEFT restores "
            "parameters by the module that they are in, and this one is in none"
        )
    return module
