"""How much of a gradient a basis brings together: the shares that a basis's report speaks of.

Of a gradient G (d_out × d_in) and its G̃ = Vᵀ G U (r_out × r_in), with k = density · d_out · d_in::

    total     ‖G‖²
    captured  ‖G̃‖², all that the basis holds of it; the total in a full basis
    top       the energy of the k largest entries of G̃
    original  the energy of the k largest entries of G itself

Shares are of the total. They do not change when G is scaled, so neither loss scaling nor clipping
changes them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import astuple, dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..selection import largest_entries


@dataclass(frozen=True)
class Energy:
    """The energy of gradients, added up; see the module's docstring.

    Attributes:
        top: in the largest entries in the basis.
        original: in the largest entries in the original space.
        captured: in the basis.
        total: in all.
    """

    top: float = 0.0
    original: float = 0.0
    captured: float = 0.0
    total: float = 0.0

    def __add__(self, other: Energy) -> Energy:
        return Energy(*map(operator.add, astuple(self), astuple(other)))

    @property
    def top_share(self) -> float:
        """What the largest entries hold in the basis; a gradient of zero has no shares."""
        return min(1.0, self.top / self.total)

    @property
    def original_share(self) -> float:
        """What as many hold in the original space."""
        return min(1.0, self.original / self.total)

    @property
    def captured_share(self) -> float:
        """What the basis holds; 1 but for round-off in a full one."""
        return min(1.0, self.captured / self.total)


def energy_of(
    G: Float[Tensor, "d_out d_in"], rotated: Float[Tensor, "r_out r_in"], k: int
) -> Energy | None:
    """The energy of one gradient; None when it is zero or not finite, which says nothing.

    Args:
        G: the gradient.
        rotated: the same in the basis, G̃.
        k: how many entries are the largest; all where the basis has fewer.
    """
    largest = float(G.abs().max())
    if not largest or not math.isfinite(largest):
        return None
    # Squares of a gradient that a loss scaler scaled, or that all but vanished, stay in range so.
    parts = (_largest(rotated, k), _largest(G, k), rotated, G)
    norms = torch.stack([torch.linalg.vector_norm(part / largest) for part in parts])
    return Energy(*((norm * largest) ** 2 for norm in norms.tolist()))


def _largest(matrix: Tensor, k: int) -> Tensor:
    return matrix.flatten()[largest_entries(matrix, k)]


def energy_reference(
    G: Float[Tensor, "d_out d_in"],
    U: Float[Tensor, "d_in r_in"],
    V: Float[Tensor, "d_out r_out"],
    k: int,
) -> Energy:
    """The same as the definition says it."""
    squares = [matrix.square().flatten() for matrix in (V.T @ G @ U, G)]
    tops = [part.sort(descending=True).values[:k].sum() for part in squares]
    return Energy(*map(float, (*tops, *(part.sum() for part in squares))))


def total_of(energies: Iterable[Energy]) -> Energy:
    """All energies together."""
    return sum(energies, Energy())
