"""From an adapter to a LoRA: the nearest change of a given rank, layer by layer.

Layout (LoRA's: the change of a layer is B A, scaled by 1)::

    A  rank × d_in
    B  d_out × rank

ΔW = V ΔW̃ Uᵀ is zero outside the touched rows R and columns C of ΔW̃, so its singular value
decomposition is that of the small block ΔW̃[R, C], lifted by V[:, R] and U[:, C], which are
orthonormal. The leading `rank` triples are the nearest matrix of that rank (Eckart and Young),
and the dropped singular values are the error, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from sparsegrad_shared.errors import InvalidInput

from ..basis import Basis, GroupBasis
from ..layers.rotation import touched_block
from .adapter import Adapter
from .delta import LayerDelta
from .models import check_basis, check_shapes
from .progress import Progress, ignore


@dataclass(frozen=True, eq=False)
class LayerFactors:
    """One layer's change as a product; see the module's docstring for the layout.

    Args:
        A: the input side.
        B: the output side.
        norm: ‖ΔW‖ (Frobenius).
        dropped: ‖ΔW - B A‖, which is what the rank could not hold.
    """

    A: Float[Tensor, "rank d_in"]
    B: Float[Tensor, "d_out rank"]
    norm: float
    dropped: float

    @property
    def error(self) -> float:
        """‖ΔW - B A‖ / ‖ΔW‖; 0 for a layer that did not change."""
        return self.dropped / self.norm if self.norm else 0.0


@dataclass(frozen=True, eq=False)
class Lora:
    """An adapter as a LoRA.

    Args:
        rank: of every layer; layers that need less are padded with zeros.
        layers: the factors, by the layer's path in the model.
        parameters: every other trained parameter, by its name in the model.
        model: the model that training began with, if known.
    """

    rank: int
    layers: Mapping[str, LayerFactors] = field(repr=False)
    parameters: Mapping[str, Tensor] = field(repr=False)
    model: str | None = None

    @property
    def norm(self) -> float:
        """‖ΔW‖ (Frobenius) of all layers together."""
        return math.hypot(*(factors.norm for factors in self.layers.values()))

    @property
    def error(self) -> float:
        """The relative error of all layers together; 0 when nothing changed."""
        dropped = math.hypot(*(factors.dropped for factors in self.layers.values()))
        return dropped / self.norm if self.norm else 0.0


def to_lora(adapter: Adapter, basis: Basis, rank: int, progress: Progress = ignore) -> Lora:
    """The LoRA of at most `rank` that is nearest to an adapter.

    Args:
        adapter: the adapter.
        basis: the basis that it was trained on.
        rank: of the factors; less where no layer's change has that rank.
        progress: told how many layers are done, of how many.

    Returns:
        The factors, in the type of the adapter's values (at least float32), with their errors.

    Raises:
        InvalidInput: when the rank is under 1.
        WrongBasis: when the adapter was trained on another basis; names both.
        ShapeMismatch: when a layer has another shape than the basis.
    """
    if rank < 1:
        raise InvalidInput(f"rank: expected at least 1, got {rank}")
    check_basis(adapter, basis)
    check_shapes(adapter, basis)
    layers = {}
    for number, (name, delta) in enumerate(adapter.layers.items(), start=1):
        layers[name] = _factor(delta, basis.group_of(name), rank)
        progress(number, len(adapter.layers))
    needed = max((factors.A.shape[0] for factors in layers.values()), default=1)
    return Lora(
        rank=needed,
        layers={name: _padded(factors, needed) for name, factors in layers.items()},
        parameters=adapter.parameters,
        model=adapter.model,
    )


def _factor(delta: LayerDelta, group: GroupBasis, rank: int) -> LayerFactors:
    """Factors of at least rank 1, in float64 until the end."""
    dtype = torch.promote_types(delta.values.dtype, torch.float32)
    rows, columns, block = touched_block(
        delta.indices, delta.values.double(), (delta.shape.r_out, delta.shape.r_in)
    )
    P, s, Qt = torch.linalg.svd(block, full_matrices=False)
    kept = min(rank, int(s.count_nonzero()))
    roots = s[:kept].sqrt()  # half of each singular value on either side, so that A and B match
    factors = LayerFactors(
        A=((roots[:, None] * Qt[:kept]) @ group.U[:, columns].double().T).to(dtype),
        B=(group.V[:, rows].double() @ (P[:, :kept] * roots)).to(dtype),
        norm=delta.norm,
        dropped=float(torch.linalg.vector_norm(s[kept:])),
    )
    return _padded(factors, max(1, kept))


def _padded(factors: LayerFactors, rank: int) -> LayerFactors:
    missing = rank - factors.A.shape[0]
    return LayerFactors(
        A=torch.nn.functional.pad(factors.A, (0, 0, 0, missing)),
        B=torch.nn.functional.pad(factors.B, (0, missing)),
        norm=factors.norm,
        dropped=factors.dropped,
    )
