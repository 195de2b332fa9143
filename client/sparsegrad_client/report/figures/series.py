"""Lines over the steps of a training, one a group or one a quantity, each named at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...training.record import BasisLine, TrainingRecord
from .style import MUTED, SERIES, count, label_ends, shown_apart

_TWO = {"left": 0.075, "right": 0.865, "bottom": 0.145, "top": 0.82, "wspace": 0.58}
_ONE = {"left": 0.075, "right": 0.865, "bottom": 0.145, "top": 0.82}
_MOST_POINTS = 2000  # of a line; a picture has no more pixels
_FEW_POINTS = 20  # of a line; each is seen
MOST_NAMED = len(SERIES)  # lines with a colour and a name of their own
_SPAN = 25  # parts of a run that a smooth line is the mean over
_DEEP = "viridis"
_ENDS = (0.25, 0.85)  # of it: its violet is lost on a dark page, its yellow on a light one

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """Values at rising steps.

    Attributes:
        steps: where they were measured.
        values: as many.
    """

    steps: Numbers
    values: Numbers

    @classmethod
    def of(cls, steps: Sequence[int], values: Sequence[float]) -> Series:
        """From plain numbers."""
        return cls(np.array(steps, dtype=np.float64), np.array(values, dtype=np.float64))

    def thinned(self) -> Series:
        """At most so many points that a picture shows them all, the last among them."""
        apart = -(-len(self.steps) // _MOST_POINTS)
        if apart <= 1:
            return self
        chosen = slice(len(self.steps) - 1, None, -apart)
        return Series(self.steps[chosen][::-1], self.values[chosen][::-1])

    def smoothed(self) -> Series:
        """Running means over a small part of the run, those at the ends over less."""
        half = len(self.values) // _SPAN // 2
        sums = np.concatenate([[0.0], np.cumsum(self.values)])
        places = np.arange(len(self.values))
        first, last = np.maximum(places - half, 0), np.minimum(places + half + 1, len(places))
        return Series(self.steps, (sums[last] - sums[first]) / (last - first))


def panels_over_steps(figure: Figure, record: TrainingRecord, number: int) -> list[Axes]:
    """One or two axes side by side, over all steps of a training, with room on their right."""
    axes = figure.subplots(1, number, squeeze=False, gridspec_kw=_TWO if number == 2 else _ONE)[0]
    last = max((line.step for line in record.lines), default=0)
    for panel in axes:
        panel.set_xlabel("optimizer step")
        panel.set_xlim(-0.02 * max(last, 1), 1.02 * max(last, 1))
        count(panel.xaxis)
    return list(axes)


def draw_groups(axes: Axes, lines: Mapping[str, Series]) -> dict[str, str]:
    """A line for each group: named each where they are few, else from the first to the last.

    Returns:
        The colour of each group.
    """
    colors = group_colors(list(lines))
    width = 1.8 if len(lines) <= MOST_NAMED else 1.0
    for name, series in lines.items():
        thin = series.thinned()
        marker = "o" if len(thin.steps) <= _FEW_POINTS else ""
        axes.plot(
            thin.steps,
            thin.values,
            color=colors[name],
            linewidth=width,
            marker=marker,
            markersize=2 * width,
        )
    return colors


def name_groups(
    axes: Axes, lines: Mapping[str, Series], colors: Mapping[str, str], *, beside: bool = False
) -> None:
    """Name the lines of `draw_groups` at their ends; the limits of the axes are settled by now.

    Args:
        axes: that they are in.
        lines: as they were drawn.
        colors: as they were drawn in.
        beside: whether other axes with the same groups follow on the right, which name them where
            they are many.
    """
    texts = dict(zip(lines, shown_apart(list(lines)), strict=True))
    if len(lines) <= MOST_NAMED:
        ends = [
            (float(series.values[-1]), texts[name], colors[name]) for name, series in lines.items()
        ]
        label_ends(axes, ends)
        return
    if beside:
        return
    names = list(lines)
    steps = [(1 - place / 8, names[round(place / 8 * (len(names) - 1))]) for place in range(9)]
    for height, name in steps:
        axes.annotate(
            texts[name], (1, height), xytext=(6, 0), xycoords="axes fraction", va="center",
            textcoords="offset points", color=colors[name], annotation_clip=False,
        )  # fmt: skip
    axes.annotate(
        f"{len(names)} groups", (1, 0), xytext=(6, -32), xycoords="axes fraction",
        textcoords="offset points", color=MUTED, annotation_clip=False, va="center",
    )  # fmt: skip


def mark_changes(axes: Axes, record: TrainingRecord) -> None:
    """A line where the training went on in another basis."""
    for change in record.of(BasisLine):
        early = change.step < sum(axes.get_xlim()) / 2
        axes.axvline(change.step, color=MUTED, linewidth=1)
        axes.annotate(
            "a new basis", (change.step, 0), xytext=(4 if early else -4, 6),
            textcoords="offset points", ha="left" if early else "right", color=MUTED,
        )  # fmt: skip


def group_colors(names: Sequence[str]) -> dict[str, str]:
    """Colours that can be told apart where they are few, else by their order."""
    if len(names) <= MOST_NAMED:
        return dict(zip(names, SERIES, strict=False))
    scale = mpl.colormaps[_DEEP]
    places = np.linspace(*_ENDS, len(names))
    return {
        name: mpl.colors.to_hex(scale(place)) for name, place in zip(names, places, strict=True)
    }
