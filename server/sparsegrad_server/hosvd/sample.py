"""A picture of one gradient, in at most 64 × 64 bins: what the paper's figures 1 and 3 show.

========================  ===================  ==================================================
``squares``               m × n                the squared entries of G, or of G̃
``binned(squares)``       bins(m) × bins(n)    their sums over each bin, float64
========================  ===================  ==================================================
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsegrad_shared.report import (
    SampledMatrix,
    TopEntries,
    bin_edges,
    level_of_share,
)

from .arrays import Float64Array, FloatArray
from .largest import Largest


def sampled(squares: FloatArray, energy: float, largest: Largest) -> SampledMatrix:
    """The picture of a gradient in one space.

    Args:
        squares: m × n, its entries, squared.
        energy: ‖G‖² in the original space, above 0.
        largest: the largest of the entries.
    """
    held = binned(squares)
    rows, columns = squares.shape
    touched = binned(largest.touched).astype(np.int64)
    return SampledMatrix(
        rows=rows,
        columns=columns,
        energy=min(float(held.sum()) / energy, 1.0),
        levels=bytes(level_of_share(share) for share in (held / energy).flat),
        top=TopEntries(
            energy=min(largest.energy / energy, 1.0), rows=largest.rows, columns=largest.columns
        ),
        top_by_rows=tuple(touched.sum(axis=1).tolist()),
        top_by_columns=tuple(touched.sum(axis=0).tolist()),
    )


def binned(values: NDArray[Any]) -> Float64Array:
    """Sums over the bins of a matrix; memory past the matrix's own: bins(m) rows of it."""
    down, across = (np.array(bin_edges(extent)[:-1]) for extent in values.shape)
    rows = np.add.reduceat(values, down, axis=0, dtype=np.float64)
    sums: Float64Array = np.add.reduceat(rows, across, axis=1)
    return sums
