"""Tables of runs, in Markdown: means and deviations over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from .results import Run

SEARCH_SEED = 0  # its runs choose learning rates, and no figure is made of them


def finished(runs: Iterable[Run]) -> list[Run]:
    """The runs that figures are made of."""
    return [run for run in runs if run.asked.seed != SEARCH_SEED and run.outcome is not None]


def quality(runs: Sequence[Run]) -> str:
    """A row a method, a column a task: the score on the development set; best in bold.

    A row's count of values is that of the first task; all tasks on a model have the same.
    """
    kept = finished(runs)
    tasks = list(dict.fromkeys(run.asked.task for run in kept))
    methods = list(dict.fromkeys((run.asked.method, run.asked.density) for run in kept))
    scores = {
        (method, task): [
            run.outcome.development.score
            for run in kept
            if (run.asked.method, run.asked.density) == method and run.asked.task == task
            if run.outcome is not None
        ]
        for method in methods
        for task in tasks
    }
    lines = [
        f"| method | density | values a step | {' | '.join(tasks)} | seeds |",
        f"| --- | --- | --- |{' --- |' * len(tasks)} --- |",
    ]
    best = {
        task: max(
            (statistics.mean(scores[method, task]) for method in methods if scores[method, task]),
            default=None,
        )
        for task in tasks
    }
    for method in methods:
        values = next(
            run.outcome.values
            for run in kept
            if run.outcome and (run.asked.method, run.asked.density) == method
        )
        cells = [_cell(scores[method, task], best[task]) for task in tasks]
        seeds = max(len(scores[method, task]) for task in tasks)
        lines.append(
            f"| {method[0]} | {method[1]:.2%} | {values:,} | {' | '.join(cells)} | {seeds} |"
        )
    return "\n".join(lines)


def _cell(scores: Sequence[float], best: float | None) -> str:
    if not scores:
        return ""
    mean = statistics.mean(scores)
    mark = "**" if mean == best else ""
    spread = f" ± {statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
    return f"{mark}{mean:.4f}{mark}{spread}"
