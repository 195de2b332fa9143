"""The largest entries of a matrix: how much of its energy they hold, and where they lie."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .arrays import FloatArray

Mask = NDArray[np.bool_]


class Largest:
    """The `kept` largest entries of a matrix, given the squares of its entries.

    Args:
        squares: m × n.
        kept: how many; all where it has no more.

    Attributes:
        energy: the sum of their squares.
        touched: m × n, True at each of them; those that equal the smallest of them count too, and
            zeros never do.
    """

    def __init__(self, squares: FloatArray, kept: int) -> None:
        first = max(squares.size - kept, 0)
        ordered = np.partition(squares.ravel(), first)
        least = max(float(ordered[first]), float(np.finfo(squares.dtype).tiny))
        self.energy = float(ordered[first:].sum(dtype=np.float64))
        self.touched: Mask = squares >= least

    @cached_property
    def rows(self) -> int:
        """How many rows they lie in."""
        return int(self.touched.any(axis=1).sum())

    @cached_property
    def columns(self) -> int:
        """How many columns they lie in."""
        return int(self.touched.any(axis=0).sum())
