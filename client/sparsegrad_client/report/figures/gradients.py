"""A held-out gradient, before and after: the paper's figures 1 and 3.

Both are drawn from the bins of `sparsegrad_shared.report.SampledMatrix`. Rows and columns of the
gradient in the basis stand in the order of the basis: by falling eigenvalue.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from sparsegrad_shared.report import GradientSample, SampledMatrix, bin_edges, bin_sizes

from .style import AFTER, BEFORE, MAP, count, from_zero, in_percent, new_figure, styled, titled

_DECADES = 7  # of energy that the colours tell apart, below the largest
_ORIGINAL, _BASIS = r"Original space: $G = \partial L/\partial W$", r"In the basis: $V^T G\,U$"
_AXES = {
    "original": ("outputs, rows of W", "inputs, columns of W"),
    "basis": ("columns of V, leading first", "columns of U, leading first"),
}


@styled
def energy_map(sample: GradientSample, density: float) -> Figure:
    """The energy of a gradient, in the original space and in the basis, on one scale of colours.

    Args:
        sample: the gradient.
        density: share of the entries that its `top` is of.
    """
    figure = new_figure(4.9)
    grid = figure.add_gridspec(1, 2, left=0.09, right=0.893, bottom=0.115, top=0.86, wspace=0.24)
    beside = figure.add_gridspec(1, 1, left=0.907, right=0.922, bottom=0.115, top=0.86)
    maps = [_energy_of_entries(matrix, sample) for matrix in (sample.original, sample.basis)]
    highest = max(float(entries.max()) for entries in maps)
    held = np.concatenate([entries[entries > 0] for entries in maps])
    # At least one decade: a scale without an extent has no ticks.
    least = min(max(float(held.min()), highest / 10**_DECADES), highest / 10)
    scale = LogNorm(least, highest)
    for place, (title, space) in enumerate(((_ORIGINAL, "original"), (_BASIS, "basis"))):
        matrix: SampledMatrix = getattr(sample, space)
        axes = figure.add_subplot(grid[place])
        image = _draw_map(axes, np.maximum(maps[place], least), matrix, scale)
        titled(axes, title, _top_text(matrix, density))
        axes.set_ylabel(_AXES[space][0])
        axes.set_xlabel(_AXES[space][1])
    bar = figure.colorbar(image, cax=figure.add_subplot(beside[0]), extend="min")
    bar.set_label("energy of an entry ÷ mean of all entries")
    bar.ax.yaxis.set_minor_formatter(NullFormatter())  # 2 × 10¹ is too wide for its place
    bar.outline.set_visible(False)
    return figure


@styled
def touched_entries(sample: GradientSample, density: float) -> Figure:
    """Where the largest entries of a gradient lie: the share that they are of each row and column.

    Args:
        sample: the gradient.
        density: share of the entries that count as the largest.
    """
    figure = new_figure(5.4)
    panels = figure.subplots(
        2, 2, sharey="row",
        gridspec_kw={
            "left": 0.085, "right": 0.98, "bottom": 0.1, "top": 0.88,
            "hspace": 0.58, "wspace": 0.1,
        },
    )  # fmt: skip
    for column, (space, color) in enumerate((("original", BEFORE), ("basis", AFTER))):
        matrix: SampledMatrix = getattr(sample, space)
        where = "Original space" if space == "original" else "In the basis"
        title = f"{where}: the largest {_percent(density)} of the entries"
        rows, columns = panels[0, column], panels[1, column]
        _draw_shares(rows, matrix.top_by_rows, matrix.rows, matrix.columns, color)
        _draw_shares(columns, matrix.top_by_columns, matrix.columns, matrix.rows, color)
        titled(rows, title, f"{matrix.top.rows:,.0f} of {matrix.rows:,} rows touched")
        titled(columns, "", f"{matrix.top.columns:,.0f} of {matrix.columns:,} columns touched")
        rows.set_xlabel(_AXES[space][0])
        columns.set_xlabel(_AXES[space][1])
    for left, right in panels:  # which share their scale
        from_zero(max(left, right, key=lambda axes: axes.dataLim.ymax))
    panels[0, 0].set_ylabel("share of the row")
    panels[1, 0].set_ylabel("share of the column")
    return figure


def _energy_of_entries(matrix: SampledMatrix, sample: GradientSample) -> NDArray[np.float64]:
    """The mean energy of the entries in each bin, in units of the mean over all of G."""
    shares = np.array(matrix.shares())
    entries = np.multiply.outer(bin_sizes(matrix.rows), bin_sizes(matrix.columns))
    energies: NDArray[np.float64] = (
        shares / entries * sample.original.rows * sample.original.columns
    )
    return energies


def _draw_map(
    axes: Axes, entries: NDArray[np.float64], matrix: SampledMatrix, scale: LogNorm
) -> AxesImage:
    axes.grid(visible=False)
    count(axes.xaxis, axes.yaxis)
    return axes.imshow(
        entries,
        norm=scale,
        cmap=MAP,
        aspect="auto",
        interpolation="none",
        extent=(0, matrix.columns, matrix.rows, 0),
    )


def _draw_shares(axes: Axes, counts: Sequence[int], extent: int, across: int, color: str) -> None:
    """Of the entries in each bin of rows (or columns), the share that is among the largest."""
    shares = np.array(counts) / (np.array(bin_sizes(extent)) * across)
    axes.stairs(shares, bin_edges(extent), fill=True, color=color)
    axes.set_xlim(0, extent)
    count(axes.xaxis)
    axes.grid(visible=False, axis="x")
    in_percent(axes.yaxis)


def _top_text(matrix: SampledMatrix, density: float) -> str:
    return f"the largest {_percent(density)} hold {matrix.top.energy:.1%} of the energy"


def _percent(share: float) -> str:
    return f"{100 * share:g}%"
