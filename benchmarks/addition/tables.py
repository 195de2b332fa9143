"""The figures: a table a method, a row a task, means and deviations over seeds.

Every column has the task's own head on, which was trained beside its own change.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .judgements import Judgement, Sum

SCALES = (0.25, 0.5, 0.75, 1.0)  # among which one is searched, beside that of the mean


def sums_of(task: str, tasks: Sequence[str]) -> list[Sum]:
    """What is judged on a task: nothing, its own change, and all changes at every scale."""
    everything = tuple(tasks)
    scales = dict.fromkeys([*SCALES, 1 / len(tasks)])
    return [Sum((), 0.0), Sum((task,), 1.0), *(Sum(everything, scale) for scale in scales)]


@dataclass(frozen=True)
class Seed:
    """The judgements of one method and seed.

    Attributes:
        made: by task and sum.
    """

    made: Mapping[tuple[str, Sum], Judgement]

    def scale(self, tasks: Sequence[str]) -> float | None:
        """The scale that is best on held-out rows, by the mean over tasks; None while some lack."""
        everything = tuple(tasks)
        found: dict[float, float] = {}
        for scale in (*SCALES, 1 / len(tasks)):
            here = [self.made.get((task, Sum(everything, scale))) for task in tasks]
            if None in here:
                return None
            found[scale] = statistics.mean(made.held_out.score for made in here if made)
        return max(found, key=lambda scale: found[scale])

    def columns(self, task: str, tasks: Sequence[str]) -> dict[str, float | None]:
        """A task's scores on the development set, by what was put on the layers."""
        everything, scale = tuple(tasks), self.scale(tasks)
        sums = {
            "nothing added": Sum((), 0.0),
            "own": Sum((task,), 1.0),
            "sum": Sum(everything, 1.0),
            "mean": Sum(everything, 1 / len(tasks)),
            "scale searched": None if scale is None else Sum(everything, scale),
        }
        made = {name: None if each is None else self.made.get((task, each))
                for name, each in sums.items()}  # fmt: skip
        return {name: each.development.score if each else None for name, each in made.items()}


def seeds_of(judgements: Iterable[Judgement]) -> dict[str, list[Seed]]:
    """The judgements of each method, seed by seed."""
    found: dict[str, dict[int, dict[tuple[str, Sum], Judgement]]] = {}
    for made in judgements:
        seeds = found.setdefault(made.asked.method, {})
        seeds.setdefault(made.asked.seed, {})[made.asked.task, made.asked.sum] = made
    return {method: [Seed(made) for made in seeds.values()] for method, seeds in found.items()}


def show(judgements: Iterable[Judgement], tasks: Sequence[str]) -> str:
    """The tables of judgements, a method each."""
    found = seeds_of(judgements)
    return "\n\n".join(_table(method, seeds, tasks) for method, seeds in found.items())


def scores_of(
    judgements: Iterable[Judgement], tasks: Sequence[str]
) -> dict[str, dict[str, list[float]]]:
    """For a picture: the scores over seeds, by method and what was added, and by task."""
    return {
        f"{method}, {name}": {
            task: [score for seed in seeds
                   if (score := seed.columns(task, tasks)[name]) is not None]
            for task in tasks
        }
        for method, seeds in seeds_of(judgements).items()
        for name in seeds[0].columns(tasks[0], tasks)
    }  # fmt: skip


def _table(method: str, seeds: Sequence[Seed], tasks: Sequence[str]) -> str:
    scores = {task: [seed.columns(task, tasks) for seed in seeds] for task in tasks}
    names = list(scores[tasks[0]][0])
    lines = [f"| {method} | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for task, of_seeds in scores.items():
        lines.append(_line(task, [[columns[name] for columns in of_seeds] for name in names]))
    if len(tasks) > 1:
        means = [
            [_mean([scores[task][seed][name] for task in tasks]) for seed in range(len(seeds))]
            for name in names
        ]
        lines.append(_line("mean of tasks", means))
    scales = [f"{scale:.2g}" for seed in seeds if (scale := seed.scale(tasks)) is not None]
    lines += ["", f"{method}: {len(seeds)} seeds; scales searched: {', '.join(scales) or 'none'}"]
    return "\n".join(lines)


def _line(label: str, cells: Sequence[Sequence[float | None]]) -> str:
    return f"| {label} | {' | '.join(_cell(scores) for scores in cells)} |"


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return statistics.mean(known) if len(known) == len(scores) else None


def _cell(scores: Sequence[float | None]) -> str:
    known = [score for score in scores if score is not None]
    if not known:
        return ""
    spread = f" ± {statistics.stdev(known):.4f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.4f}{spread}"
