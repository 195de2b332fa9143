"""Adapters: what training changed, as a basis's digest and (index, value) pairs."""

from __future__ import annotations

from .adapter import Adapter, average, read_adapter
from .delta import LayerDelta, LayerShape
from .lora import Lora, to_lora
from .models import adapter_of, load_adapter, save_adapter
from .peft_lora import save_lora

__all__ = [
    "Adapter",
    "LayerDelta",
    "LayerShape",
    "Lora",
    "adapter_of",
    "average",
    "load_adapter",
    "read_adapter",
    "save_adapter",
    "save_lora",
    "to_lora",
]
