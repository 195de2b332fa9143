"""A group's basis: U and V with their eigenvalues, from the Gram matrices."""

from __future__ import annotations

from dataclasses import dataclass

from sparsegrad_shared.errors import NoGradients

from .arrays import Float64Array
from .eigen import leading_eigenvectors
from .gram import GramMatrices


@dataclass(frozen=True)
class Basis:
    """The factor matrices of a group's HOSVD, whole or truncated.

    Attributes:
        U: D_in × r_in, orthonormal columns, leading first.
        V: D_out × r_out, likewise.
        eigenvalues_in: r_in of A_in, falling.
        eigenvalues_out: r_out of A_out, falling.
        energy: the trace of both Gram matrices; the eigenvalues' sum when nothing is cut off.
    """

    U: Float64Array
    V: Float64Array
    eigenvalues_in: Float64Array
    eigenvalues_out: Float64Array
    energy: float


def compute_basis(
    gram: GramMatrices, *, rank: int | None = None, energy: float | None = None
) -> Basis:
    """The basis of the gradients in `gram`, float64.

    Args:
        gram: the sums over a group's gradients.
        rank: leading columns of U and of V to keep; a side with fewer keeps all it has.
        energy: keep, on each side, the fewest columns that hold this share of the energy.

    Raises:
        NoGradients: no gradient but zero ones was added.
        InvalidInput: `rank` or `energy` is out of range, or a matrix is too large to solve whole.
    """
    check_any(gram)
    trace = float(gram.A_in.trace())
    values_in, U = leading_eigenvectors(gram.A_in, rank=rank, energy=energy)
    values_out, V = leading_eigenvectors(gram.A_out, rank=rank, energy=energy)
    return Basis(U=U, V=V, eigenvalues_in=values_in, eigenvalues_out=values_out, energy=trace)


def check_any(gram: GramMatrices) -> None:
    """Hold a sum to have something in it that a basis can be made of.

    Raises:
        NoGradients: no gradient but zero ones was added.
    """
    if gram.count == 0:
        raise NoGradients(
            f"expected at least one gradient that is not zero, got none "
            f"({gram.zero_count} were zero throughout); train on data that reaches these layers"
        )
