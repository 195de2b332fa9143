"""What an adapter changes in one layer: the entries of ΔW̃, as a value.

Layout (that of `sparsegrad_client.sparse_vector`)::

    indices  n, int64   flat positions in ΔW̃ of r_out × r_in (row-major), rising, unique
    values   n          ΔW̃'s entries there; every other entry is zero
    sample   at most 16 entries of the weight that training began with (`layers.sample`), if known
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sparsegrad_shared.errors import InvalidInput

from ..basis import GroupBasis
from ..layers.sample import may_be_same


@dataclass(frozen=True)
class LayerShape:
    """What a layer's entries are positions in: d_out × d_in, in a basis of r_out × r_in."""

    d_out: int
    d_in: int
    r_out: int
    r_in: int

    @classmethod
    def of(cls, group: GroupBasis) -> LayerShape:
        """The shape that the layers of a group have."""
        return cls(d_out=group.d_out, d_in=group.d_in, r_out=group.r_out, r_in=group.r_in)

    @property
    def size(self) -> int:
        """How many coordinates there are: r_out · r_in."""
        return self.r_out * self.r_in

    def __str__(self) -> str:
        return f"{self.d_out} x {self.d_in} in a basis of {self.r_out} x {self.r_in}"


@dataclass(frozen=True, eq=False)
class LayerDelta:
    """The change of one layer; see the module's docstring for the layout."""

    shape: LayerShape
    indices: Int64[Tensor, " n"]
    values: Float[Tensor, " n"]
    sample: Float[Tensor, " m"] | None = None

    def __len__(self) -> int:
        """How many entries were touched."""
        return self.indices.numel()

    def __bool__(self) -> bool:
        # A change of no entries is one too.
        return True

    @property
    def norm(self) -> float:
        """‖ΔW̃‖ (Frobenius), which is ‖ΔW‖ as well: the bases are orthonormal."""
        return float(torch.linalg.vector_norm(self.values, dtype=torch.float64))


def check_weights(adapters: int, weights: Sequence[float]) -> None:
    """Hold the weights of a sum to the adapters in it.

    Raises:
        InvalidInput: when there is no adapter, or not one finite weight for each.
    """
    if not adapters or adapters != len(weights):
        raise InvalidInput(
            f"expected one weight for each of at least one adapter, "
            f"got {len(weights)} weights for {adapters} adapters"
        )
    if not all(math.isfinite(weight) for weight in weights):
        raise InvalidInput(f"expected finite weights, got {list(weights)}")


def weighted_sum(deltas: Sequence[LayerDelta], weights: Sequence[float]) -> LayerDelta:
    """Σ weight · ΔW̃, over the union of the entries, in the widest of the values' types.

    The sample is kept when all have the same.

    Args:
        deltas: at least one, all of one shape.
        weights: as many.
    """
    indices: Tensor = torch.unique(torch.cat([delta.indices for delta in deltas]))
    dtype = reduce(torch.promote_types, (delta.values.dtype for delta in deltas))
    values = torch.zeros(indices.numel(), dtype=dtype)
    for delta, weight in zip(deltas, weights, strict=True):
        values[torch.searchsorted(indices, delta.indices)] += weight * delta.values.to(dtype)
    return LayerDelta(deltas[0].shape, indices, values, _common_sample(deltas))


def _common_sample(deltas: Sequence[LayerDelta]) -> Tensor | None:
    first = deltas[0].sample
    samples = [delta.sample for delta in deltas if delta.sample is not None]
    alike = len(samples) == len(deltas) and all(
        first is not None and may_be_same(first, sample) for sample in samples
    )
    return first if alike else None
