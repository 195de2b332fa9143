"""Principal angles between subspaces: how far two bases lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsegrad_shared.errors import InvalidInput, ShapeMismatch

from .arrays import Float64Array, FloatArray

DEFAULT_RANKS = (1, 8, 64, 256)


@dataclass(frozen=True)
class SubspaceDifference:
    """How far the `rank` leading columns of two bases span different spaces.

    Attributes:
        rank: leading columns of both that were compared.
        largest_angle: the largest principal angle, radians.
        overlap: mean squared cosine of the angles; 1 for the same space, rank/D for random ones.
        energy_kept: of the energy that a's columns hold of a's spectrum, the share that b's do.
    """

    rank: int
    largest_angle: float
    overlap: float
    energy_kept: float


def principal_angles(a: FloatArray, b: FloatArray) -> Float64Array:
    """The principal angles between the column spaces of a and b.

    Cosines lose small angles to round-off and sines large ones, so each angle is taken from the
    better of the two (Björck and Golub, Math. Comp. 27 (1973); Knyazev and Argentati, SIAM J.
    Sci. Comput. 23 (2002), algorithm 3.1).

    Args:
        a: D × p, orthonormal columns.
        b: D × q, orthonormal columns.

    Returns:
        min(p, q) angles in radians, rising.

    Raises:
        ShapeMismatch: a and b are not matrices of the same number of rows.
    """
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise ShapeMismatch(
            f"expected two matrices of as many rows, got shapes {a.shape} and {b.shape}"
        )
    wide, narrow = (a, b) if a.shape[1] >= b.shape[1] else (b, a)
    wide, narrow = wide.astype(np.float64), narrow.astype(np.float64)
    products = wide.T @ narrow
    cosines = np.linalg.svd(products, compute_uv=False)
    sines = np.linalg.svd(narrow - wide @ products, compute_uv=False)[::-1]
    angles: Float64Array = np.where(
        cosines**2 > 0.5, np.arcsin(np.minimum(sines, 1.0)), np.arccos(np.clip(cosines, 0.0, 1.0))
    )
    return angles


def subspace_difference(
    a: FloatArray,
    b: FloatArray,
    eigenvalues: FloatArray,
    *,
    ranks: Sequence[int] = DEFAULT_RANKS,
) -> tuple[SubspaceDifference, ...]:
    """The difference of two bases of one side, for a few counts of leading columns.

    Args:
        a: D × p, orthonormal columns.
        b: D × q, orthonormal columns.
        eigenvalues: p, those of a's columns.
        ranks: counts of leading columns to compare; those beyond p or q are left out.

    Raises:
        ShapeMismatch: the shapes do not fit one another.
        InvalidInput: a rank is less than 1.
    """
    if eigenvalues.shape != a.shape[1:]:
        raise ShapeMismatch(f"expected {a.shape[1]} eigenvalues, got shape {eigenvalues.shape}")
    if any(rank < 1 for rank in ranks):
        raise InvalidInput(f"ranks: expected each at least 1, got {tuple(ranks)}")
    largest = min(a.shape[1], b.shape[1])
    return tuple(_difference(a, b, eigenvalues, rank) for rank in ranks if rank <= largest)


def _difference(
    a: FloatArray, b: FloatArray, eigenvalues: FloatArray, rank: int
) -> SubspaceDifference:
    angles = principal_angles(a[:, :rank], b[:, :rank])
    captured = np.square(a.T @ b[:, :rank]).sum(axis=1, dtype=np.float64)
    own = float(eigenvalues[:rank].sum())
    return SubspaceDifference(
        rank=rank,
        largest_angle=float(angles[-1]),
        overlap=float(np.square(np.cos(angles)).mean()),
        energy_kept=float(eigenvalues @ captured) / own if own > 0 else 1.0,
    )
