"""Pictures of a basis and its groups: spectra, and the energy in the largest entries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from sparsegrad_shared.report import GroupReport, Spectrum

from .style import (
    AFTER,
    BEFORE,
    INK,
    LINES,
    LONG,
    SERIES,
    WIDTH,
    in_percent,
    label_ends,
    line_height,
    new_figure,
    shown_apart,
    spread,
    styled,
    titled,
)

_SIDES = (("inputs, U", SERIES[0]), ("outputs, V", SERIES[1]))
_LEAST = 1e-12  # of the largest eigenvalue; gradients are in float32, their squares no better
_ROW = 0.24  # inches, of a group among others
_LETTER = 0.09  # inches that a letter of a name takes, at most on average


@styled
def spectra(group: GroupReport) -> Figure:
    """The eigenvalues of A_in and A_out, and the energy that the leading columns hold."""
    figure = new_figure(3.9)
    falling, held = figure.subplots(
        1, 2,
        gridspec_kw={"left": 0.075, "right": 0.83, "bottom": 0.145, "top": 0.83, "wspace": 0.6},
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
    _mark_ranks(held, sides)
    falling.set(xscale="log", yscale="log", ylabel="eigenvalue ÷ the largest")
    falling.set_ylim(bottom=min(0.1, falling.get_ylim()[0]))  # one decade at least
    falling.yaxis.set_minor_formatter(NullFormatter())
    held.set(xscale="log", ylim=(0, 1.03), ylabel="share of the energy")
    in_percent(held.yaxis)
    for axes in (falling, held):
        axes.set_xlabel("leading columns")
        axes.margins(x=0)
    label_ends(falling, [(_relative(side)[-1], name, color) for side, name, color in sides])
    titled(falling, "Eigenvalues", "of the gradients that the basis was fitted on")
    titled(held, "Energy in the leading columns", "dots: columns that hold 50, 90 and 99%")
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
    names = shown_apart([name for name, _, _ in judged], LONG)
    left = 0.03 + _LETTER / WIDTH * max(map(len, names))
    figure.subplots_adjust(left=left, right=0.86, bottom=0.55 / height, top=1 - 0.5 / height)
    for row, (_, before, after) in enumerate(judged):
        axes.plot((before, after), (row, row), color=LINES, linewidth=3, zorder=2)
        axes.annotate(
            f"{before:.1%} → {after:.1%}", (1, row), xytext=(10, 0),
            xycoords=axes.get_yaxis_transform(), textcoords="offset points", va="center_baseline",
            color=INK,
        )  # fmt: skip
    rows = range(len(judged))
    axes.scatter([before for _, before, _ in judged], rows, color=BEFORE, s=42, zorder=3)
    axes.scatter([after for _, _, after in judged], rows, color=AFTER, s=42, zorder=3)
    axes.set_yticks(rows, names, color=INK)
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
    for place, color, name in ((0, AFTER, "● in the basis"), (-82, BEFORE, "● original space")):
        axes.annotate(
            name, (1, 1), xytext=(place, 9), xycoords="axes fraction", textcoords="offset points",
            ha="right", color=color,
        )  # fmt: skip


def _relative(spectrum: Spectrum) -> list[float]:
    """The eigenvalues by the largest; those that are zero but for rounding at the least shown."""
    first = spectrum.eigenvalues[0]
    return [max(value / first, _LEAST) for value in spectrum.eigenvalues]


def _mark_ranks(axes: Axes, sides: Sequence[tuple[Spectrum, str, str]]) -> None:
    """Dots where half, 90 and 99% of the energy are reached, as far as they are, and the ranks."""
    labels: list[tuple[float, int, str]] = []  # height, rank, text
    for share, rank in ((0.5, "rank_50"), (0.9, "rank_90"), (0.99, "rank_99")):
        reached: list[tuple[int, float, str]] = []
        for spectrum, name, color in sides:
            if spectrum.energy[-1] >= share:
                place = getattr(spectrum, rank)
                held = float(np.interp(np.log(place), np.log(spectrum.ranks), spectrum.energy))
                axes.plot(place, held, "o", color=color, markersize=5)
                reached.append((place, held, f"{name[-1]} {place:,}"))
        if reached:
            place, held, _ = max(reached)
            labels.append(
                (held / axes.get_ylim()[1], place, ", ".join(text[2] for text in reached))
            )
    heights = spread([height for height, _, _ in labels], line_height(axes))
    for (_, place, text), height in zip(labels, heights, strict=True):
        axes.annotate(
            text, (place, height), xytext=(8, -2), xycoords=axes.get_xaxis_transform(),
            textcoords="offset points", va="center", color=INK, annotation_clip=False,
        )  # fmt: skip
