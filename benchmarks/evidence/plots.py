"""Pictures of studies, in the style of the client's reports."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from sparsegrad_client.report.figures.style import AFTER, INK, MUTED, new_figure, styled, titled

from .tables import Line

ROW = 0.27  # inches, of a line
LETTER = 0.0075  # of the width, of a line's name
LABEL = 9  # points, of a name beside a point
SEEDS = "dots: seeds; line: their mean"


Scores = Mapping[str, Sequence[float]]  # by task, over the seeds


@styled
def scores(lines: Mapping[str, Scores], tasks: Sequence[str], marked: Sequence[str]) -> Figure:
    """A panel a task, a row a line: every seed, and the mean over them.

    Args:
        lines: those of a table by what they are called; the ones without scores are left out.
        tasks: the panels.
        marked: the lines that are ours.
    """
    shown = {label: found for label, found in lines.items() if any(found.values())}
    height = 1.1 + ROW * len(shown)
    figure = new_figure(height)
    panels = figure.subplots(
        1, len(tasks), sharey=True, squeeze=False,
        gridspec_kw={
            "left": max(0.2, 0.012 + LETTER * max(map(len, shown))), "right": 0.985, "wspace": 0.08,
            "bottom": 0.42 / height, "top": 1 - 0.55 / height,
        },
    )[0]  # fmt: skip
    for axes, task in zip(panels, tasks, strict=True):
        for place, (label, found) in enumerate(shown.items()):
            _draw(axes, place, found.get(task, ()), AFTER if label in marked else INK)
        titled(axes, task, SEEDS if axes is panels[0] else "")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(shown)), list(shown))
    panels[0].set_ylim(len(shown) - 0.5, -0.5)
    for tick, label in zip(panels[0].get_yticklabels(), shown, strict=True):
        tick.set_color(AFTER if label in marked else INK)
    return figure


def _draw(axes: Axes, place: int, found: Sequence[float], color: str) -> None:
    if not found:
        return
    axes.plot(found, [place] * len(found), "o", color=color, alpha=0.45, markersize=5)
    mean = statistics.mean(found)
    axes.plot([mean, mean], [place - 0.32, place + 0.32], color=color, linewidth=2.4)


@dataclass(frozen=True)
class Cost:
    """What a method costs.

    Attributes:
        speed: its steps in the time of one of regular fine-tuning's.
        memory: its peak, over regular fine-tuning's.
    """

    speed: float
    memory: float


@styled
def gains(
    lines: Sequence[Line], tasks: Sequence[str], costs: Mapping[str, Cost], marked: Sequence[str]
) -> Figure:
    """The mean score over tasks, beside speed and beside peak memory."""
    figure = new_figure(4.6)
    panels = figure.subplots(
        1, 2, sharey=True,
        gridspec_kw={"left": 0.075, "right": 0.97, "bottom": 0.12, "top": 0.86, "wspace": 0.1},
    )  # fmt: skip
    for axes, kind in zip(panels, ("speed", "memory"), strict=True):
        places = {
            line.label: (getattr(cost, kind), mean)
            for line in lines
            if (mean := line.average(tasks)) is not None and (cost := costs.get(line.label))
        }
        for label, place in places.items():
            axes.plot(*place, "o", color=AFTER if label in marked else INK, markersize=6)
        axes.margins(0.13)
        _label(axes, places, marked)
        axes.axvline(1, color=MUTED, linewidth=1)
    panels[0].set_ylabel(f"mean score on {', '.join(tasks)}")
    panels[0].set_xlabel("steps in the time of one of regular fine-tuning's")
    panels[1].set_xlabel("peak memory ÷ regular fine-tuning's")
    titled(panels[0], "Quality and speed", "to the upper right is better")
    titled(panels[1], "Quality and memory", "to the upper left is better")
    return figure


def _label(axes: Axes, places: Mapping[str, tuple[float, float]], marked: Sequence[str]) -> None:
    """Name points, each beside its own, on the side that covers least of what is there."""
    axes.autoscale_view()
    pixels, frame = axes.figure.dpi / 72, axes.bbox
    height = LABEL * pixels
    points = axes.transData.transform(list(places.values()))
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in points]
    # Beyond the frame there is room for nothing.
    taken += [Bbox.from_bounds(x, frame.y0, 999, frame.height) for x in (frame.x0 - 999, frame.x1)]
    for (label, place), (x, y) in zip(places.items(), points, strict=True):
        width = 0.62 * height * len(label)
        boxes = {
            (ha, va): Bbox.from_bounds(left, bottom, width, height)
            for va, bottom in (("bottom", y), ("top", y - height))
            for ha, left in (("left", x + 6 * pixels), ("right", x - 6 * pixels - width))
        }
        best = min(boxes, key=lambda side: _covered(boxes[side], taken))
        taken.append(boxes[best])
        ha, va = best
        axes.annotate(
            label, place, xytext=(6 if ha == "left" else -6, 0), textcoords="offset points",
            ha=ha, va=va, fontsize=LABEL, color=AFTER if label in marked else INK,
        )  # fmt: skip


def _covered(box: Bbox, taken: Sequence[Bbox]) -> float:
    common = [each for other in taken if (each := Bbox.intersection(box, other)) is not None]
    return sum(each.width * each.height for each in common)
