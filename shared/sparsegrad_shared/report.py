"""How good a basis is, judged on gradients that it was not fitted on.

Every share is of ‖G‖² in the original space, summed over the held-out gradients: for a truncated
basis what lies outside it counts as lost.
"""

from __future__ import annotations

from itertools import pairwise
from math import log10
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from .calibrations import MAX_EXTENT, Answer, Several
from .references import Segment

MAP_BINS = 64  # along each axis of a picture of a gradient, at most
TOP_LEVEL = 255  # of a bin that holds all the energy
CURVE_POINTS = 128  # of a spectrum, at most
LEVELS_PER_DECADE = 20  # so a level is half a decibel, and a share known to 6%

Extent = Annotated[int, Field(ge=1, le=MAX_EXTENT)]
Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
MeanCount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Curve = Field(min_length=1, max_length=CURVE_POINTS)


class Spectrum(Answer):
    """The eigenvalues of one Gram matrix, summed up.

    Attributes:
        ranks: ranks of the sampled eigenvalues, from 1, rising; at most `CURVE_POINTS` of them.
        eigenvalues: the eigenvalues at those ranks, falling.
        energy: the share of the trace that the leading columns up to those ranks hold.
        rank_50: columns that hold half of the energy.
        rank_90: columns that hold 90% of it.
        rank_99: columns that hold 99% of it.
    """

    ranks: Annotated[Several[Extent], Curve]
    eigenvalues: Annotated[Several[Finite], Curve]
    energy: Annotated[Several[Share], Curve]
    rank_50: Extent
    rank_90: Extent
    rank_99: Extent

    @model_validator(mode="after")
    def _has_a_value_for_each_rank(self) -> Self:
        found = len(self.ranks), len(self.eigenvalues), len(self.energy)
        if len(set(found)) > 1:
            raise ValueError(
                f"expected as many eigenvalues and energies as ranks; got {found[0]} ranks, "
                f"{found[1]} eigenvalues and {found[2]} energies"
            )
        return self


class TopEntries(Answer):
    """What the largest entries of held-out gradients hold, in one space.

    Attributes:
        energy: the share of ‖G‖² in the largest `density` of the entries.
        rows: mean count of rows that they touch.
        columns: mean count of columns that they touch.
    """

    energy: Share
    rows: MeanCount
    columns: MeanCount


class BlockEnergy(Answer):
    """The share of ‖G‖² in the leading rows × columns of G̃."""

    rows: Extent
    columns: Extent
    energy: Share


class SampledMatrix(Answer):
    """A picture of one gradient in one space, small enough for a report.

    Its rows and its columns are told apart no finer than by `bin_edges`.

    Attributes:
        rows: of G, or of G̃.
        columns: likewise.
        energy: the share of ‖G‖² in all entries: 1 for G, what the basis captures for G̃.
        levels: the share of ‖G‖² in each bin, as `share_of_level` reads it: a byte a bin, row by
            row; in JSON as base64 with the alphabet for URLs (RFC 4648, section 5).
        top: the largest entries of this gradient.
        top_by_rows: in each bin of rows, how many of the largest entries.
        top_by_columns: in each bin of columns, likewise.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    rows: Extent
    columns: Extent
    energy: Share
    levels: bytes
    top: TopEntries
    top_by_rows: Several[Count]
    top_by_columns: Several[Count]

    @model_validator(mode="after")
    def _has_a_value_for_each_bin(self) -> Self:
        down, across = bins(self.rows), bins(self.columns)
        found = len(self.levels), len(self.top_by_rows), len(self.top_by_columns)
        if found != (down * across, down, across):
            raise ValueError(
                f"a matrix of {self.rows} x {self.columns} has {down} x {across} bins; "
                f"got {found[0]} levels, and counts for {found[1]} x {found[2]} bins"
            )
        if sum(self.top_by_rows) != sum(self.top_by_columns):
            raise ValueError("the counts by rows and by columns are of the same entries")
        return self

    def shares(self) -> list[list[float]]:
        """The share of ‖G‖² in each bin: a list for each bin of rows."""
        across = bins(self.columns)
        levels = [share_of_level(level) for level in self.levels]
        return [levels[start : start + across] for start in range(0, len(levels), across)]


class GradientSample(Answer):
    """A held-out gradient before and after: figures 1 and 3 of the paper.

    Attributes:
        original: G.
        basis: G̃ = VᵀGU, rows and columns by falling eigenvalue.
    """

    original: SampledMatrix
    basis: SampledMatrix


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
        sample: a picture of the first of the held-out gradients that is not zero; None with none,
            and in older reports.
    """

    name: Segment
    held_out: Count
    density: Share
    basis: TopEntries | None
    original: TopEntries | None
    blocks: Several[BlockEnergy]
    frozen_support: Share | None
    spectrum_in: Spectrum
    spectrum_out: Spectrum
    sample: GradientSample | None = None


class BasisReport(Answer):
    """A basis's report, group by group."""

    format: Literal[1] = 1
    groups: Several[GroupReport]


def bins(extent: int) -> int:
    """How many bins an axis of so many rows or columns has."""
    return min(MAP_BINS, extent)


def bin_edges(extent: int) -> list[int]:
    """Where the bins of an axis begin, and where the last one ends: bins + 1 numbers."""
    count = bins(extent)
    return [place * extent // count for place in range(count + 1)]


def bin_sizes(extent: int) -> list[int]:
    """Rows or columns in each bin; they differ by one at most."""
    return [end - start for start, end in pairwise(bin_edges(extent))]


def level_of_share(share: float) -> int:
    """A share of energy from 0 to 1 as a level, a logarithmic scale; see `share_of_level`."""
    if share <= 0:
        return 0
    return min(max(round(TOP_LEVEL + LEVELS_PER_DECADE * log10(share)), 0), TOP_LEVEL)


def share_of_level(level: int) -> float:
    """10^((level - 255) / 20): half a decibel a level; level 0 is no energy, or next to none."""
    return 10 ** ((level - TOP_LEVEL) / LEVELS_PER_DECADE) if level else 0.0
