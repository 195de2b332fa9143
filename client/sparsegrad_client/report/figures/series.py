"""Lines over the steps of a training, one a group or one a quantity, each named at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .style import MUTED, SERIES, label_ends, shown

_MOST_POINTS = 2000  # of a line; a picture has no more pixels
MOST_NAMED = len(SERIES)  # lines with a colour and a name of their own
_SPAN = 25  # parts of a run that a smooth line is the mean over
_DEEP = "viridis"
_LIGHTEST = 0.85  # of viridis: its yellow is lost on white

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


def draw_groups(axes: Axes, lines: Mapping[str, Series]) -> dict[str, str]:
    """A line for each group: named each where they are few, else from the first to the last.

    Returns:
        The colour of each group.
    """
    colors = group_colors(list(lines))
    width = 1.8 if len(lines) <= MOST_NAMED else 1.0
    for name, series in lines.items():
        thin = series.thinned()
        marker = "o" if len(thin.steps) == 1 else ""
        axes.plot(
            thin.steps,
            thin.values,
            color=colors[name],
            linewidth=width,
            marker=marker,
            markersize=4,
        )
    return colors


def name_groups(axes: Axes, lines: Mapping[str, Series], colors: Mapping[str, str]) -> None:
    """Name the lines of `draw_groups` at their ends; the limits of the axes are settled by now."""
    names = list(lines)
    if len(names) <= MOST_NAMED:
        label_ends(
            axes, [(float(lines[name].values[-1]), shown(name), colors[name]) for name in names]
        )
        return
    steps = [(1 - place / 8, names[round(place / 8 * (len(names) - 1))]) for place in range(9)]
    for height, name in steps:
        axes.annotate(
            shown(name), (1, height), xytext=(6, 0), xycoords="axes fraction", va="center",
            textcoords="offset points", color=colors[name], annotation_clip=False,
        )  # fmt: skip
    axes.annotate(
        f"{len(names)} groups", (1, 0), xytext=(6, -20), xycoords="axes fraction",
        textcoords="offset points", color=MUTED, annotation_clip=False, va="center",
    )  # fmt: skip


def group_colors(names: Sequence[str]) -> dict[str, str]:
    """Colours that can be told apart where they are few, else by their order."""
    if len(names) <= MOST_NAMED:
        return dict(zip(names, SERIES, strict=False))
    scale = mpl.colormaps[_DEEP]
    places = np.linspace(0, _LIGHTEST, len(names))
    return {
        name: mpl.colors.to_hex(scale(place)) for name, place in zip(names, places, strict=True)
    }
