"""Pictures of a training, from its record (`sparsegrad_client.training.record`).

The horizontal axis counts optimizer steps. A picture of what a record does not have is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...training.record import (
    BasisLine,
    EvaluationLine,
    FitLine,
    MisfitLine,
    StepLine,
    TrainingRecord,
)
from .series import MOST_NAMED, Numbers, Series, draw_groups, name_groups
from .style import (
    AFTER,
    BEFORE,
    INK,
    LINES,
    MUTED,
    SERIES,
    count,
    in_percent,
    label_ends,
    new_figure,
    shown,
    styled,
    titled,
)

_TWO = {"left": 0.075, "right": 0.87, "bottom": 0.145, "top": 0.82, "wspace": 0.5}
_ONE = {"left": 0.075, "right": 0.84, "bottom": 0.145, "top": 0.82}
_HEIGHT = 3.9
_GB = 1e9


@styled
def losses(record: TrainingRecord) -> Figure | None:
    """The loss of every step and of every evaluation, and the metric where there is one."""
    steps, evaluations = record.of(StepLine), record.of(EvaluationLine)
    if not steps and not evaluations:
        return None
    scores = [line for line in evaluations if line.score is not None]
    figure = new_figure(_HEIGHT)
    panels = _panels(figure, 2 if scores else 1)
    titled(panels[0], "Loss", "training: each step, and a running mean" if steps else "")
    ends = []
    if steps:
        each = Series.of([line.step for line in steps], [line.loss for line in steps])
        thin, smooth = each.thinned(), each.smoothed().thinned()
        panels[0].plot(thin.steps, thin.values, color=LINES, linewidth=1)
        panels[0].plot(smooth.steps, smooth.values, color=AFTER)
        ends.append((float(smooth.values[-1]), "training", AFTER))
    if evaluations:
        found = Series.of([e.step for e in evaluations], [e.loss for e in evaluations])
        panels[0].plot(found.steps, found.values, "o:", color=SERIES[1], markersize=5)
        ends.append((float(found.values[-1]), "evaluation", SERIES[1]))
    panels[0].set_ylim(bottom=0)
    label_ends(panels[0], ends)
    if scores:
        _draw_scores(panels[1], record, scores)
    return figure


def _draw_scores(axes: Axes, record: TrainingRecord, scores: Sequence[EvaluationLine]) -> None:
    values = [line.score for line in scores if line.score is not None]
    metric = record.run.metric or "score"
    titled(axes, shown(metric[:1].upper() + metric[1:]), "on the evaluation data")
    axes.plot([line.step for line in scores], values, "o:", color=SERIES[1], markersize=5)
    axes.margins(y=0.15)
    for line, value in ((scores[0], values[0]), (scores[-1], values[-1])):
        axes.annotate(
            f"{value:.3f}", (line.step, value), xytext=(0, 8), textcoords="offset points",
            ha="center", color=INK,
        )  # fmt: skip


@styled
def learning_rates(record: TrainingRecord) -> Figure | None:
    """The learning rates of the sparse layers and of everything else, over the steps."""
    steps = record.of(StepLine)
    if not steps:
        return None
    figure = new_figure(3.0)
    (axes,) = _panels(figure, 1)
    titled(axes, "Learning rate")
    lines = {"sparse layers": ([line.lr for line in steps], AFTER)}
    head = [line.head_lr for line in steps if line.head_lr is not None]
    if len(head) == len(steps):
        lines["everything else"] = (head, SERIES[1])
    for values, color in lines.values():
        thin = Series.of([line.step for line in steps], values).thinned()
        axes.plot(thin.steps, thin.values, color=color)
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    label_ends(axes, [(values[-1], name, color) for name, (values, color) in lines.items()])
    return figure


@styled
def touched_so_far(record: TrainingRecord) -> Figure | None:
    """The share of each group's weights that steps have changed so far, and that each one changes.

    The right-hand side of the paper's figure 3, over the whole training.
    """
    steps = record.of(StepLine)
    groups = record.run.groups
    if not steps:
        return None
    figure = new_figure(_HEIGHT)
    panels = _panels(figure, 2)
    numbers = [line.step for line in steps]
    for axes, member, title, remark in (
        (panels[0], "touched", "Entries touched so far", "by any step, of the group's weights"),
        (panels[1], "updated", "Entries touched by each step", "of the group's weights"),
    ):
        lines = {
            name: Series.of(
                numbers, [getattr(line, member).get(name, 0) / facts.values for line in steps]
            )
            for name, facts in groups.items()
        }
        titled(axes, title, remark)
        colors = draw_groups(axes, lines)
        axes.set_ylim(bottom=0)
        in_percent(axes.yaxis)
        name_groups(axes, lines, colors)
    return figure


@styled
def fit(record: TrainingRecord) -> Figure | None:
    """The energy in the largest entries of the training's own gradients, group by group.

    Dashed: what it was on the calibration's held-out gradients. A cross: the step at which the
    group was found not to fit any more.
    """
    samples = record.of(FitLine)
    lines = {
        name: Series.of([s.step for s in found], [s.groups[name].energy for s in found])
        for name in record.run.groups
        if (found := [sample for sample in samples if name in sample.groups])
    }
    if not lines:
        return None
    figure = new_figure(4.4)
    (axes,) = _panels(figure, 1)
    colors = draw_groups(axes, lines)
    last = max(float(series.steps[-1]) for series in lines.values())
    known = {name: _calibrations(record, name, last) for name in lines}
    if len(lines) <= MOST_NAMED:
        for name, periods in known.items():
            for start, end, energy in periods:
                axes.plot((start, end), (energy, energy), "--", color=colors[name], linewidth=1)
    else:
        _draw_ranges(axes, [period for periods in known.values() for period in periods])
    for misfit in record.of(MisfitLine):
        if misfit.group in lines:
            axes.plot(misfit.step, misfit.energy, "X", color=colors[misfit.group], markersize=10)
    for change in record.of(BasisLine):
        axes.axvline(change.step, color=MUTED, linewidth=1)
        axes.annotate(
            "a new basis", (change.step, 0), xytext=(4, 6), textcoords="offset points", color=MUTED
        )
    axes.set_ylim(0, 1)
    axes.margins(x=0.02)
    in_percent(axes.yaxis)
    name_groups(axes, lines, colors)
    titled(axes, _fit_title(record), _fit_remark(record, len(lines)))
    return figure


def _draw_ranges(axes: Axes, periods: Sequence[tuple[float, float, float]]) -> None:
    """From the least to the largest of what the calibration had, where lines would be too many."""
    for start, end in sorted({(start, end) for start, end, _ in periods}):
        held = [energy for *period, energy in periods if period == [start, end]]
        axes.fill_between((start, end), min(held), max(held), color=LINES, linewidth=0, alpha=0.7)


def _calibrations(
    record: TrainingRecord, group: str, last: float
) -> list[tuple[float, float, float]]:
    """From which step to which the calibration's energy of a group held, as far as it is known."""
    known: list[tuple[float, float | None]] = [(1.0, record.run.groups[group].calibration)]
    known += [(float(line.step), line.calibration.get(group)) for line in record.of(BasisLine)]
    ends = [start for start, _ in known[1:]] + [last]
    return [
        (start, max(end, start), energy)
        for (start, energy), end in zip(known, ends, strict=True)
        if energy is not None
    ]


def _fit_title(record: TrainingRecord) -> str:
    densities = {group.density for group in record.run.groups.values() if group.density is not None}
    which = f"largest {100 * densities.pop():g}%" if len(densities) == 1 else "largest"
    return f"Energy in the {which} of the gradients' entries"


def _fit_remark(record: TrainingRecord, groups: int) -> str:
    how = "dashed" if groups <= MOST_NAMED else "grey, from the least to the largest"
    crosses = "; cross: no longer fits" if record.of(MisfitLine) else ""
    return f"{how}: held-out gradients of the calibration{crosses}"


@styled
def machine(record: TrainingRecord) -> Figure | None:
    """Steps a second, and the peak of memory so far."""
    steps = record.of(StepLine)
    speed = _speed(steps)
    memory = {
        name: Series.of([line.step for line in found], [value / _GB for value in values])
        for name, found, values in (
            ("process", *_memory(steps, "process")),
            ("device", *_memory(steps, "device")),
        )
        if found
    }
    if speed is None and not memory:
        return None
    figure = new_figure(_HEIGHT)
    panels = _panels(figure, (speed is not None) + bool(memory))
    if speed is not None:
        thin = speed.thinned()
        panels[0].plot(thin.steps, thin.values, color=AFTER)
        panels[0].set_ylim(bottom=0)
        panels[0].set_ylabel("steps per second")
        titled(panels[0], "Speed", "running mean; evaluations count as time")
    if memory:
        _draw_memory(panels[-1], memory)
    return figure


def _draw_memory(axes: Axes, memory: dict[str, Series]) -> None:
    ends = []
    for (name, series), color in zip(memory.items(), (BEFORE, SERIES[1]), strict=False):
        thin = series.thinned()
        axes.plot(thin.steps, thin.values, color=color)
        last = float(series.values[-1])
        ends.append((last, f"{name}, {last:.2f} GB", color))
    axes.set_ylim(bottom=0)
    axes.set_ylabel("GB")
    label_ends(axes, ends)
    titled(axes, "Memory", "highest so far")


def _memory(steps: Sequence[StepLine], member: str) -> tuple[list[StepLine], list[int]]:
    found = [line for line in steps if getattr(line.memory, member) is not None]
    return found, [getattr(line.memory, member) for line in found]


def _speed(steps: Sequence[StepLine]) -> Series | None:
    """Steps a second between lines, smoothed as a mean of the seconds of a step."""
    known = [
        (after.step, (after.seconds - before.seconds) / (after.step - before.step))
        for before, after in pairwise(steps)
        if after.step > before.step and after.seconds > before.seconds
    ]
    if not known:
        return None
    seconds = Series.of([step for step, _ in known], [each for _, each in known]).smoothed()
    inverse: Numbers = np.reciprocal(seconds.values)
    return Series(seconds.steps, inverse)


def _panels(figure: Figure, number: int) -> list[Axes]:
    """One or two axes side by side, with room for names on their right."""
    axes = figure.subplots(1, number, squeeze=False, gridspec_kw=_TWO if number == 2 else _ONE)[0]
    for panel in axes:
        panel.set_xlabel("optimizer step")
        count(panel.xaxis)
    return list(axes)
