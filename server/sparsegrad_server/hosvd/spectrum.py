"""A spectrum in a few figures, small enough for a report."""

from __future__ import annotations

import numpy as np

from sparsegrad_shared.errors import InvalidInput
from sparsegrad_shared.report import CURVE_POINTS, Spectrum

from .arrays import Float64Array


def spectrum_summary(eigenvalues: Float64Array, *, energy: float, dimension: int) -> Spectrum:
    """The decay of a Gram matrix's eigenvalues.

    Where a truncated basis does not reach 50, 90 or 99% of the energy, the rank that would is
    not known, and `dimension` stands for it: the bound that always holds.

    Args:
        eigenvalues: r, falling; all or the leading ones.
        energy: the trace of the Gram matrix, which shares are of.
        dimension: its size.

    Raises:
        InvalidInput: there are no eigenvalues, or no energy.
    """
    if not len(eigenvalues) or not energy > 0:
        raise InvalidInput(
            f"expected eigenvalues with a positive sum, got {len(eigenvalues)} with {energy}"
        )
    shares = np.minimum(np.cumsum(eigenvalues) / energy, 1.0)
    ranks = _curve_ranks(len(eigenvalues))
    rank_50, rank_90, rank_99 = (_rank_holding(share, shares, dimension) for share in (50, 90, 99))
    return Spectrum(
        ranks=tuple(ranks),
        eigenvalues=tuple(float(eigenvalues[rank - 1]) for rank in ranks),
        energy=tuple(float(shares[rank - 1]) for rank in ranks),
        rank_50=rank_50,
        rank_90=rank_90,
        rank_99=rank_99,
    )


def _curve_ranks(count: int) -> list[int]:
    """At most CURVE_POINTS ranks from 1 to `count`, evenly spread on a logarithmic axis."""
    points = np.unique(np.geomspace(1, count, min(count, CURVE_POINTS)).round().astype(int))
    return [int(point) for point in points]


def _rank_holding(percent: int, shares: Float64Array, dimension: int) -> int:
    reached = shares >= percent / 100
    return int(reached.argmax()) + 1 if reached.any() else dimension
