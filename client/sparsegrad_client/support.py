"""Supports: which coordinates of a layer train, when that is known before the backward pass.

A support of few rows R and few columns C of W̃ is a block, so a step on it is dense, and the basis
is met through U[:, C] and V[:, R] only (method, section 3: the `adapter` engine)::

    rows     n_rows, int64      R, rising, unique, below r_out
    columns  n_columns, int64   C, rising, unique, below r_in
    block    n_rows × n_columns the coordinates W̃[R, C]
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from sparsegrad_shared.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class Support:
    """Rows and columns of a layer's coordinates.

    Args:
        rows: R, rising, unique.
        columns: C, rising, unique.

    Raises:
        InvalidInput: when either is empty, out of order, or names a place twice.
    """

    rows: Int64[Tensor, " n_rows"]
    columns: Int64[Tensor, " n_columns"]

    def __post_init__(self) -> None:
        for name, places in (("rows", self.rows), ("columns", self.columns)):
            rising = bool((places[1:] > places[:-1]).all())
            if places.ndim != 1 or places.numel() == 0 or int(places[0]) < 0 or not rising:
                raise InvalidInput(
                    f"support: {name}: expected at least one place, rising, none twice, "
                    f"got {places.tolist()[:8]}"
                )

    @classmethod
    def leading(cls, rows: int, columns: int) -> Support:
        """The leading block: the directions with the most energy come first in a basis."""
        return cls(torch.arange(rows), torch.arange(columns))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the block."""
        return self.rows.numel(), self.columns.numel()

    def indices(self, r_in: int) -> Int64[Tensor, " n"]:
        """Flat positions of the block's entries in the r_out × r_in coordinates, rising."""
        return (self.rows[:, None] * r_in + self.columns).flatten()
