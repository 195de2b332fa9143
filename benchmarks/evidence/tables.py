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

    def mean(self, task: str) -> float | None:
        """The mean of these, where there are any."""
        scores = self.scores(task)
        return statistics.mean(scores) if scores else None

    def average(self, tasks: Sequence[str]) -> float | None:
        """The mean over tasks, when it has been run on all of them."""
        means = [mean for task in tasks if (mean := self.mean(task)) is not None]
        return statistics.mean(means) if len(means) == len(tasks) else None

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


def table(lines: Sequence[Line], tasks: Sequence[str]) -> str:
    """The score of each line on each task, best in bold.

    With it come the values of the layers that a step changes and, where there are bases, what the
    largest 1% of the entries of the runs' own gradients held in them.
    """
    run = [line for line in lines if line.all]
    several = len(tasks) > 1
    based = any(outcome.shares for line in run for outcome in line.all)
    titles = ["", "values a step", *tasks, *["mean"] * several, *["energy in 1%"] * based, "seeds"]
    columns = [(task, [line.mean(task) for line in run]) for task in tasks]
    best = {task: max((mean for mean in means if mean is not None), default=None)
            for task, means in columns}  # fmt: skip
    rows = [titles, ["---"] * len(titles)]
    for line in run:
        average = line.average(tasks)
        rows.append([
            line.label,
            f"{line.all[0].values:,}",
            *(_score(line.scores(task), best[task]) for task in tasks),
            *["" if average is None else f"{average:.4f}"] * several,
            *[_energy(line)] * based,
            str(max(len(outcomes) for outcomes in line.outcomes.values())),
        ])  # fmt: skip
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _score(scores: Sequence[float], best: float | None) -> str:
    if not scores:
        return ""
    mean = statistics.mean(scores)
    mark = "**" if mean == best else ""
    spread = f" ± {statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
    return f"{mark}{mean:.4f}{mark}{spread}"


def _energy(line: Line) -> str:
    shares = [outcome.shares.basis for outcome in line.all if outcome.shares is not None]
    return f"{statistics.mean(shares):.0%}" if shares else ""
