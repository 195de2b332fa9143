"""Sums of sparse vectors: what adding adapters on one basis comes down to."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ...sparse_vector import unite


def weighted_sum(
    parts: Iterable[tuple[float, Int64[Tensor, " k"], Float[Tensor, " k"]]],
) -> tuple[Int64[Tensor, " n"], Float[Tensor, " n"]]:
    """Σ weight · vector, over the union of where the vectors have entries.

    Args:
        parts: weight, indices and values of each; indices rising, unique.

    Returns:
        Indices, rising and unique, and values; added up in float64, in the order of the parts.
    """
    indices = torch.empty(0, dtype=torch.int64)
    values = torch.empty(0, dtype=torch.float64)
    for weight, new, added in parts:
        union = unite(indices, new.cpu())
        indices, values = union.indices, union.spread(values)
        values[union.new_at] += weight * added.cpu().double()
    return indices, values
