"""Pictures of a training, from its record (`sparsegrad_client.training.record`).

The horizontal axis counts optimizer steps. A picture of what a record does not have is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ...training.record import EvaluationLine, StepLine, TrainingRecord
from .series import Numbers, Series, draw_groups, mark_changes, name_groups, panels_over_steps
from .style import (
    AFTER,
    BEFORE,
    INK,
    LINES,
    SERIES,
    from_zero,
    in_percent,
    label_ends,
    new_figure,
    shown,
    styled,
    titled,
)

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
    panels = panels_over_steps(figure, record, 2 if scores else 1)
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
    from_zero(panels[0])
    label_ends(panels[0], ends)
    if scores:
        _draw_scores(panels[1], record, scores)
    return figure


def _draw_scores(axes: Axes, record: TrainingRecord, scores: Sequence[EvaluationLine]) -> None:
    values = [line.score for line in scores if line.score is not None]
    metric = record.run.metric or "score"
    titled(axes, shown(metric[:1].upper() + metric[1:]), "on the evaluation data")
    axes.plot([line.step for line in scores], values, "o:", color=SERIES[1], markersize=5)
    axes.set_ylim(min(values) - 0.05, max(values) + 0.05)
    outwards = 8 if values[-1] >= values[0] else -16  # points, away from the line between
    ends = ((0, "left", -8 - outwards), (len(scores) - 1, "right", outwards))
    for place, side, above in ends[: len(scores)]:
        axes.annotate(
            f"{values[place]:.3f}", (scores[place].step, values[place]), xytext=(0, above),
            textcoords="offset points", ha=side, color=INK,
        )  # fmt: skip


@styled
def learning_rates(record: TrainingRecord) -> Figure | None:
    """The learning rates of the sparse layers and of everything else, over the steps."""
    steps = record.of(StepLine)
    if not steps:
        return None
    figure = new_figure(_HEIGHT)
    (axes,) = panels_over_steps(figure, record, 1)
    titled(axes, "Learning rate")
    lines = {"sparse layers": ([line.lr for line in steps], AFTER)}
    head = [line.head_lr for line in steps if line.head_lr is not None]
    if len(head) == len(steps):
        lines["everything else"] = (head, SERIES[1])
    for values, color in lines.values():
        thin = Series.of([line.step for line in steps], values).thinned()
        axes.plot(thin.steps, thin.values, color=color)
    from_zero(axes)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    label_ends(axes, [(values[-1], name, color) for name, (values, color) in lines.items()])
    return figure


@styled
def touched_so_far(record: TrainingRecord) -> Figure | None:
    """The share of each group's weights that steps have changed so far, and that each one changes.

    The right-hand side of the paper's figure 3, over the whole training. In another basis the
    count begins anew: its entries are other ones.
    """
    steps = record.of(StepLine)
    groups = record.run.groups
    if not steps:
        return None
    figure = new_figure(_HEIGHT)
    panels = panels_over_steps(figure, record, 2)
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
        from_zero(axes)
        in_percent(axes.yaxis)
        mark_changes(axes, record)
        name_groups(axes, lines, colors, beside=axes is panels[0])
    return figure


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
    panels = panels_over_steps(figure, record, (speed is not None) + bool(memory))
    if speed is not None:
        thin = speed.thinned()
        panels[0].plot(thin.steps, thin.values, color=AFTER)
        from_zero(panels[0])
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
        ends.append((last, f"{name} {last:.2f}", color))
    from_zero(axes)
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
