"""Pictures of a basis and its groups: spectra, and the energy in the largest entries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsegrad_shared.report import GroupReport, Spectrum

from .style import (
    AFTER,
    BEFORE,
    INK,
    LINES,
    LONG,
    SERIES,
    in_percent,
    label_ends,
    new_figure,
    shown,
    styled,
    titled,
)

_SIDES = (("inputs, U", SERIES[0]), ("outputs, V", SERIES[1]))
_LEAST = 1e-12  # of the largest eigenvalue; gradients are in float32, their squares no better
_ROW = 0.24  # inches, of a group among others


@styled
def spectra(group: GroupReport) -> Figure:
    """The eigenvalues of A_in and A_out, and the energy that the leading columns hold."""
    figure = new_figure(3.9)
    falling, held = figure.subplots(
        1, 2,
        gridspec_kw={"left": 0.075, "right": 0.9, "bottom": 0.145, "top": 0.83, "wspace": 0.52},
    )  # fmt: skip
    sides = [
        (spectrum, name, color)
        for spectrum, (name, color) in zip(
            (group.spectrum_in, group.spectrum_out), _SIDES, strict=True
        )
    ]
    for spectrum, _, color in sides:
        falling.plot(spectrum.ranks, _relative(spectrum), color=color)
        held.plot(spectrum.ranks, spectrum.energy, color=color)
        _mark_ranks(held, spectrum, color)
    falling.set(xscale="log", yscale="log", ylabel="eigenvalue ÷ the largest")
    held.set(xscale="log", ylim=(0, 1.03), ylabel="share of the energy")
    in_percent(held.yaxis)
    for axes in (falling, held):
        axes.set_xlabel("leading columns")
        axes.margins(x=0)
    label_ends(falling, [(_relative(side)[-1], name, color) for side, name, color in sides])
    label_ends(held, [(side.energy[-1], name, color) for side, name, color in sides])
    titled(falling, "Eigenvalues", "of the gradients that the basis was fitted on")
    titled(held, "Energy in the leading columns", f"● 50, 90, 99%: {_ranks_text(group)}")
    return figure


@styled
def energy_by_group(groups: Sequence[GroupReport]) -> Figure:
    """The share of held-out energy in the largest entries, before and after, of every group.

    Args:
        groups: at least one that was judged; others are left out.
    """
    judged = [
        (group.name, group.original.energy, group.basis.energy)
        for group in groups
        if group.original is not None and group.basis is not None
    ]
    height = 1.2 + _ROW * len(judged)
    figure = new_figure(height)
    axes = figure.add_subplot()
    figure.subplots_adjust(left=0.24, right=0.86, bottom=0.55 / height, top=1 - 0.5 / height)
    for row, (_, before, after) in enumerate(judged):
        axes.plot((before, after), (row, row), color=LINES, linewidth=3, zorder=2)
        axes.annotate(
            f"{before:.1%} → {after:.1%}", (1, row), xytext=(10, 0),
            xycoords=axes.get_yaxis_transform(), textcoords="offset points", va="center", color=INK,
        )  # fmt: skip
    rows = range(len(judged))
    axes.scatter([before for _, before, _ in judged], rows, color=BEFORE, s=42, zorder=3)
    axes.scatter([after for _, _, after in judged], rows, color=AFTER, s=42, zorder=3)
    axes.set_yticks(rows, [shown(name, LONG) for name, _, _ in judged], color=INK)
    axes.set_ylim(len(judged) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    in_percent(axes.xaxis)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("share of the energy of held-out gradients")
    titled(axes, f"Energy in the largest {100 * groups[0].density:g}% of the entries")
    _name_dots(axes)
    return figure


def _name_dots(axes: Axes) -> None:
    for place, color, name in ((1.0, AFTER, "● in the basis"), (0.82, BEFORE, "● original space")):
        axes.annotate(
            name, (place, 1), xytext=(0, 9), xycoords="axes fraction", textcoords="offset points",
            ha="right", color=color,
        )  # fmt: skip


def _relative(spectrum: Spectrum) -> list[float]:
    """The eigenvalues by the largest; those that are zero but for rounding at the least shown."""
    first = spectrum.eigenvalues[0]
    return [max(value / first, _LEAST) for value in spectrum.eigenvalues]


def _mark_ranks(axes: Axes, spectrum: Spectrum, color: str) -> None:
    """A dot where half, 90 and 99% of the energy are reached, as far as they are."""
    for share, rank in ((0.5, spectrum.rank_50), (0.9, spectrum.rank_90), (0.99, spectrum.rank_99)):
        if spectrum.energy[-1] >= share:
            held = np.interp(np.log(rank), np.log(spectrum.ranks), spectrum.energy)
            axes.plot(rank, held, "o", color=color, markersize=5)


def _ranks_text(group: GroupReport) -> str:
    return "; ".join(
        f"{name[-1]} {spectrum.rank_50:,}, {spectrum.rank_90:,}, {spectrum.rank_99:,}"
        for spectrum, (name, _) in zip((group.spectrum_in, group.spectrum_out), _SIDES, strict=True)
    )
