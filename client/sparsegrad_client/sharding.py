"""Models whose parameters other processes hold a part of, or whose module is wrapped.

FSDP2 (`torch.distributed.fsdp.fully_shard`) makes a parameter a DTensor: a matrix of which this
rank holds some rows. An *index* is a flat place in the whole matrix, as everywhere.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate
from torch.nn.parallel import DistributedDataParallel


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself, where `DistributedDataParallel` or `torch.compile` is around it."""
    if isinstance(model, DistributedDataParallel):
        return unwrapped(model.module)
    # torch has no public name for the class of a compiled module; this is where it keeps ours.
    compiled = getattr(model, "_orig_mod", None)
    return unwrapped(compiled) if isinstance(compiled, nn.Module) else model


def whole(tensor: Tensor) -> Tensor:
    """The tensor in full. Where it is sharded, all ranks have to ask at once."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_here(tensor: Tensor) -> Tensor:
    """What this rank holds of a tensor; shares its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def entries_here(
    tensor: Tensor, indices: Int64[Tensor, " k"]
) -> tuple[Int64[Tensor, " n"], Float[Tensor, " n"]]:
    """Those of the entries at `indices` that this rank holds: their indices, and their values."""
    if isinstance(tensor, DTensor):
        indices = indices[torch.isin(indices, _indices_of_part(tensor))]
    return indices, part_here(tensor).flatten()[_places(tensor, indices)]


def add_here_(tensor: Tensor, indices: Int64[Tensor, " n"], values: Float[Tensor, " n"]) -> None:
    """Add to entries that this rank holds, in place."""
    part_here(tensor).view(-1)[_places(tensor, indices)] += values


def _places(tensor: Tensor, indices: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """Where entries that this rank holds lie in its part."""
    if isinstance(tensor, DTensor):
        return torch.searchsorted(_indices_of_part(tensor), indices)
    return indices


def _indices_of_part(tensor: DTensor) -> Int64[Tensor, " m"]:
    """The indices of all entries that this rank holds, rising."""
    device = tensor.to_local().device
    indices = torch.arange(tensor.numel(), device=device).view(tensor.shape)
    replicated = [Replicate()] * tensor.device_mesh.ndim
    shards = DTensor.from_local(indices, tensor.device_mesh, replicated, run_check=False)
    return shards.redistribute(placements=tensor.placements).to_local().flatten()
