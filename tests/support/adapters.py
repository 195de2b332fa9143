"""Adapters of small models: trained for a few steps, or drawn at random."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsegrad_client.adapters import Adapter, LayerDelta, LayerShape
from sparsegrad_client.basis import Basis
from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.convert import sparsify
from sparsegrad_client.optim import build_optimizer

from .sparse_models import batch_for


def trained(
    model: nn.Module, basis: Basis, config: SparseGradConfig | None = None, *, seed: int = 0
) -> nn.Module:
    """The model, made sparse and trained for five steps on batches of its own."""
    sparsify(model, basis, config or SparseGradConfig(entries=9))
    optimizer = build_optimizer(model, lr=1e-2)
    for step in range(5):
        model(**batch_for(model, 100 * seed + step)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def random_delta(
    shape: LayerShape, entries: int, seed: int, dtype: torch.dtype = torch.float64
) -> LayerDelta:
    """So many random entries at random places."""
    random = torch.Generator().manual_seed(seed)
    indices = torch.randperm(shape.size, generator=random)[:entries].sort().values
    values = torch.randn(entries, generator=random, dtype=torch.float64).to(dtype)
    return LayerDelta(shape, indices, values)


def random_adapter(
    basis: Basis, entries: int, seed: int, dtype: torch.dtype = torch.float64
) -> Adapter:
    """So many random entries in every layer of a basis."""
    return Adapter(
        basis_digest=basis.digest,
        layers={
            name: random_delta(
                LayerShape.of(basis.group_of(name)), entries, 1000 * seed + number, dtype
            )
            for number, name in enumerate(basis.layers)
        },
    )


def dense(delta: LayerDelta) -> Tensor:
    """ΔW̃ with its zeros, r_out × r_in."""
    whole = torch.zeros(delta.shape.size, dtype=delta.values.dtype)
    whole[delta.indices] = delta.values
    return whole.view(delta.shape.r_out, delta.shape.r_in)


def logits(model: nn.Module, seed: int = 9) -> Tensor:
    """What the model says of a batch."""
    with torch.no_grad():
        said: Tensor = model.eval()(**batch_for(model, seed)).logits
    return said
