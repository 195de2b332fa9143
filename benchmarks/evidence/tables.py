"""Tables of runs, in Markdown: means and deviations over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .fine_tuning import Outcome
from .results import Run

SEARCH_SEED = 0  # its runs choose learning rates, and no figure is made of them


@dataclass(frozen=True)
class Line:
    """A line of a table.

    Attributes:
        label: what it is called.
        outcomes: what it came to on each task, over the seeds.
    """

    label: str
    outcomes: Mapping[str, Sequence[Outcome]]

    def scores(self, task: str) -> list[float]:
        """On the development set, over the seeds."""
        return [outcome.development.score for outcome in self.outcomes.get(task, ())]

    def held_out(self, task: str) -> list[float]:
        """On the rows of the training set that chose the learning rate, over the seeds."""
        return [outcome.held_out.score for outcome in self.outcomes.get(task, ())]

    def mean(self, task: str) -> float | None:
        """The mean of these, where there are any."""
        scores = self.scores(task)
        return statistics.mean(scores) if scores else None

    def average(self, tasks: Sequence[str]) -> float | None:
        """The mean over tasks, when it has been run on all of them."""
        means = [mean for task in tasks if (mean := self.mean(task)) is not None]
        return statistics.mean(means) if len(means) == len(tasks) else None

    def on(self, tasks: Sequence[str]) -> Line:
        """What it came to on these tasks alone."""
        return Line(self.label, {task: self.outcomes.get(task, ()) for task in tasks})

    @property
    def all(self) -> list[Outcome]:
        """What it came to, on whatever task."""
        return [outcome for outcomes in self.outcomes.values() for outcome in outcomes]


def finished(runs: Iterable[Run]) -> list[Run]:
    """The runs that figures are made of."""
    return [run for run in runs if run.asked.seed != SEARCH_SEED and run.outcome is not None]


def by_method(runs: Sequence[Run]) -> list[Line]:
    """A line for each method, density and recipe, in the order of the runs."""
    lines: dict[str, dict[str, list[Outcome]]] = {}
    for run in finished(runs):
        assert run.outcome is not None  # or it would not be finished
        label = f"{run.asked.method}, {run.asked.density:.2%}"
        lines.setdefault(label, {}).setdefault(run.asked.task, []).append(run.outcome)
    return [Line(label, outcomes) for label, outcomes in lines.items()]


def compared(lines: Sequence[Line], tasks: Sequence[str]) -> list[str]:
    """The tasks that at least two of the lines were run on; if there are none, that one was."""
    counts = {task: sum(bool(line.scores(task)) for line in lines) for task in tasks}
    enough = min(2, max(counts.values(), default=0))
    return [task for task, count in counts.items() if count and count >= enough]


def table(lines: Sequence[Line], tasks: Sequence[str]) -> str:
    """The score of each line on each task, best in bold; only tasks that lines are `compared` on.

    Beside it stand the score on the held-out rows, the values of the layers that a step changes
    and, where there are bases, what the largest 1% of the entries of the runs' own gradients held
    in them.
    """
    shown = compared(lines, tasks)
    kept = [line for line in (each.on(shown) for each in lines) if line.all]
    based = any(outcome.shares for line in kept for outcome in line.all)
    columns = [["values a step", *(f"{line.all[0].values:,}" for line in kept)]]
    for task in shown:
        columns.append([task, *_column([line.scores(task) for line in kept])])
        columns.append(["held out", *_column([line.held_out(task) for line in kept])])
    if len(shown) > 1:
        averages = [line.average(shown) for line in kept]
        columns.append(["mean", *("" if mean is None else f"{mean:.4f}" for mean in averages)])
    if based:
        columns.append(["energy in 1%", *map(_energy, kept)])
    columns.append(["seeds", *(str(max(map(len, line.outcomes.values()))) for line in kept)])
    rows = list(zip(["", *(line.label for line in kept)], *columns, strict=True))
    rows.insert(1, ("---",) * len(rows[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _column(scores: Sequence[Sequence[float]]) -> list[str]:
    """Means and deviations, the best mean in bold."""
    means = [statistics.mean(found) if found else None for found in scores]
    best = max((mean for mean in means if mean is not None), default=None)
    cells = []
    for mean, found in zip(means, scores, strict=True):
        mark = "**" if mean == best else ""
        spread = f" ± {statistics.stdev(found):.4f}" if len(found) > 1 else ""
        cells.append("" if mean is None else f"{mark}{mean:.4f}{mark}{spread}")
    return cells


def _energy(line: Line) -> str:
    shares = [outcome.shares.basis for outcome in line.all if outcome.shares is not None]
    return f"{statistics.mean(shares):.0%}" if shares else ""
