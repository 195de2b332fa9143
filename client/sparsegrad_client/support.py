"""Supports: which coordinates of a layer train, when that is known before the backward pass.

A support of few rows R and few columns C of W̃ is a block, so a step on it is dense, and the basis
is met through U[:, C] and V[:, R] only (method, section 3: the `adapter` engine)::

    rows     n_rows, int64      R, rising, unique, below r_out
    columns  n_columns, int64   C, rising, unique, below r_in
    block    n_rows × n_columns the coordinates W̃[R, C]

A support of single entries may lie anywhere in the r_out × r_in coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sparsegrad_shared.errors import InvalidInput, ShapeMismatch


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
        _check_places("support: rows", self.rows)
        _check_places("support: columns", self.columns)

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

    def check_fits(self, r_out: int, r_in: int, name: str) -> None:
        """Hold the support to the coordinates it is to lie in.

        Raises:
            ShapeMismatch: when it reaches beyond them.
        """
        if int(self.rows[-1]) >= r_out or int(self.columns[-1]) >= r_in:
            raise ShapeMismatch(
                f"layer {name!r}: its coordinates are {r_out} x {r_in}; the support reaches row "
                f"{int(self.rows[-1])} and column {int(self.columns[-1])}. Take a smaller block, "
                "or a basis of higher rank"
            )


@dataclass(frozen=True, eq=False)
class Entries:
    """Single entries of a layer's coordinates.

    Args:
        indices: flat positions in the r_out × r_in coordinates, rising, unique.

    Raises:
        InvalidInput: when there are none, they are out of order, or one is there twice.
    """

    indices: Int64[Tensor, " k"]

    def __post_init__(self) -> None:
        _check_places("support: indices", self.indices)

    def check_fits(self, r_out: int, r_in: int, name: str) -> None:
        """Hold the entries to the coordinates they are to lie in.

        Raises:
            ShapeMismatch: when one is beyond them.
        """
        if int(self.indices[-1]) >= r_out * r_in:
            raise ShapeMismatch(
                f"layer {name!r}: its coordinates are {r_out} x {r_in}; the support has entry "
                f"{int(self.indices[-1])}, beyond the last, {r_out * r_in - 1}"
            )


def _check_places(name: str, places: Tensor) -> None:
    if places.dtype != torch.int64 or places.ndim != 1 or places.numel() == 0:
        raise InvalidInput(
            f"{name}: expected a vector of at least one int64, "
            f"got {places.dtype} of shape {tuple(places.shape)}"
        )
    if int(places[0]) < 0 or not bool((places[1:] > places[:-1]).all()):
        raise InvalidInput(
            f"{name}: expected rising places from 0, none twice, got {places.tolist()[:8]}"
        )


def block_of(indices: Int64[Tensor, " n"], r_in: int) -> Support:
    """The smallest block that has all of these flat positions."""
    rows = torch.unique(indices // r_in)
    columns = torch.unique(indices % r_in)
    return Support(rows, columns)


def best_block(
    entries: int, energy_out: Float[Tensor, " r_out"], energy_in: Float[Tensor, " r_in"]
) -> tuple[int, int]:
    """The shape of the leading block of at most `entries` entries that holds the most energy.

    The energy of a block is estimated from its two sides, as if they were independent: the share
    that its rows hold of the one, times the share that its columns hold of the other. (Thinner
    blocks of 95% of that energy are cheaper; on SST-2 they were half a point worse.)

    Args:
        entries: at most so many.
        energy_out: energy of each row, falling: eigenvalues of A_out, or a layer's own.
        energy_in: energy of each column, falling.

    Returns:
        Rows and columns.
    """
    rows = torch.arange(1, min(entries, energy_out.numel()) + 1)
    columns = (entries // rows).clamp(max=energy_in.numel())
    held = energy_out.cumsum(0)[rows - 1] * energy_in.cumsum(0)[columns - 1]
    best = int(held.argmax())
    return int(rows[best]), int(columns[best])


def most_energetic(
    shape: tuple[int, int], energy_out: Float[Tensor, " r_out"], energy_in: Float[Tensor, " r_in"]
) -> Support:
    """The rows and the columns that hold the most energy.

    Args:
        shape: how many rows and columns.
        energy_out: energy of each row.
        energy_in: energy of each column.
    """
    rows, columns = (
        side.topk(count).indices.sort().values.cpu()
        for count, side in zip(shape, (energy_out, energy_in), strict=True)
    )
    return Support(rows, columns)
