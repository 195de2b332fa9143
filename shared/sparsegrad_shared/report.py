"""How good a basis is, judged on gradients that it was not fitted on.

Every share is of ‖G‖² in the original space, summed over the held-out gradients: for a truncated
basis what lies outside it counts as lost.
"""

from __future__ import annotations

from typing import Literal

from .calibrations import Answer, Several
from .references import Segment


class Spectrum(Answer):
    """The eigenvalues of one Gram matrix, summed up.

    Attributes:
        ranks: ranks of the sampled eigenvalues, from 1, rising; at most 128 of them.
        eigenvalues: the eigenvalues at those ranks, falling.
        energy: the share of the trace that the leading columns up to those ranks hold.
        rank_50: columns that hold half of the energy.
        rank_90: columns that hold 90% of it.
        rank_99: columns that hold 99% of it.
    """

    ranks: Several[int]
    eigenvalues: Several[float]
    energy: Several[float]
    rank_50: int
    rank_90: int
    rank_99: int


class TopEntries(Answer):
    """What the largest entries of held-out gradients hold, in one space.

    Attributes:
        energy: the share of ‖G‖² in the largest `density` of the entries.
        rows: mean count of rows that they touch.
        columns: mean count of columns that they touch.
    """

    energy: float
    rows: float
    columns: float


class BlockEnergy(Answer):
    """The share of ‖G‖² in the leading rows × columns of G̃."""

    rows: int
    columns: int
    energy: float


class GroupReport(Answer):
    """How good a basis is in one group.

    Attributes:
        name: the group's name.
        held_out: non-zero held-out gradients that it was judged on; with none, the figures that
            need them are None or empty.
        density: share of the entries that count as the largest.
        basis: the largest entries of G̃.
        original: the largest entries of G.
        blocks: leading blocks of G̃.
        frozen_support: the share of ‖G‖² in the entries of G̃ that held the most energy over a
            sample of the fitted gradients.
        spectrum_in: eigenvalues of A_in.
        spectrum_out: eigenvalues of A_out.
    """

    name: Segment
    held_out: int
    density: float
    basis: TopEntries | None
    original: TopEntries | None
    blocks: Several[BlockEnergy]
    frozen_support: float | None
    spectrum_in: Spectrum
    spectrum_out: Spectrum


class BasisReport(Answer):
    """A basis's report, group by group."""

    format: Literal[1] = 1
    groups: Several[GroupReport]
