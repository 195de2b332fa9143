"""A symmetric matrix a panel of rows at a time: no temporary is larger than 256 rows of it."""

from __future__ import annotations

import numpy as np

from .arrays import Float64Array, FloatArray

PANEL_ROWS = 256


def panels(size: int) -> range:
    """The first rows of the panels of a matrix of that size."""
    return range(0, size, PANEL_ROWS)


def add_symmetrized(total: Float64Array, matrix: FloatArray) -> None:
    """Add (matrix + matrixᵀ) / 2 to the upper triangle."""
    for start in panels(len(total)):
        rows, rest = slice(start, start + PANEL_ROWS), slice(start, None)
        total[rows, rest] += 0.5 * np.add(
            matrix[rows, rest], matrix[rest, rows].T, dtype=np.float64
        )


def mirrored(total: Float64Array) -> Float64Array:
    """The upper triangle copied onto the lower one, in place; no sum reads the lower."""
    for start in panels(len(total)):
        stop = start + PANEL_ROWS
        total[stop:, start:stop] = total[start:stop, stop:].T
        corner = total[start:stop, start:stop]
        corner[:] = np.triu(corner) + np.triu(corner, 1).T
    return total
