"""What a layer's backward pass holds on to."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsegrad_client.layers import SparseGradLinear


def saved_bytes(layer: nn.Module, x: Tensor) -> int:
    """Bytes that the backward pass keeps, beside parameters and bases, which are held anyway."""
    known = {_place(parameter) for parameter in layer.parameters()}
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved[_place(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        dtype = layer(x).dtype
    if isinstance(layer, SparseGradLinear):
        known.update(_place(tensor) for tensor in layer.part.on(x.device, dtype))
    return sum(size for place, size in saved.items() if place not in known)


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
