"""The questions, each a table: which methods, on which tasks, at what densities, in what bases.

A run that two studies need is made once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from methods import COMPARED, METHODS

from sparsegrad_shared.errors import InvalidInput

from .bases import JOINED, RANDOM, Recipe, recipe_of
from .cells import Cell
from .fine_tuning import Outcome
from .results import Run
from .tables import Line, finished
from .tasks import GLUE, Task

DENSITY = 0.01
INSTRUCT_DENSITY = 0.0027  # the paper's for LLaMA

NORMALIZED = {"normalize": "frobenius"}
SELECTIONS = ("folded", "folded-frozen", "folded-block", "adapter")
REFRESHED = (
    *("regular", "folded-full", "soap-fixed", "soap-100", "soap-10"),
    *("folded", "folded-restarted-25", "folded-refreshed-25"),
)


@dataclass(frozen=True)
class Row:
    """A row of a study's table.

    Attributes:
        label: what the table calls it.
        method: the method's name.
        density: share of the entries that may be trained.
        basis: what differs from the method's own recipe.
    """

    label: str
    method: str
    density: float = DENSITY
    basis: Mapping[str, Any] = field(default_factory=dict)

    def recipe(self, task: str) -> Recipe | None:
        """What the basis is made of."""
        own = recipe_of(METHODS[self.method], task)
        return None if own is None else replace(own, **self.basis)

    def cell(self, task: Task) -> Cell:
        """The row on a task."""
        return Cell(task, self.method, self.density, self.recipe(task.name))


@dataclass(frozen=True)
class Study:
    """A question, and what answers it.

    Attributes:
        name: on the command line, and in the page's markers.
        tasks: names of the tasks, the columns of the table.
        rows: the rows.
    """

    name: str
    tasks: tuple[str, ...]
    rows: tuple[Row, ...]

    def cells(self, tasks: Mapping[str, Task]) -> Iterator[Cell]:
        """What is run for it, task by task."""
        for name in self.tasks:
            for row in self.rows:
                yield row.cell(tasks[name])

    def lines(self, runs: Sequence[Run]) -> list[Line]:
        """Its table's lines."""
        kept = finished(runs)
        return [
            Line(row.label, {task: _outcomes(row, task, kept) for task in self.tasks})
            for row in self.rows
        ]


def _outcomes(row: Row, task: str, runs: Sequence[Run]) -> list[Outcome]:
    wanted = (task, row.method, row.density, row.recipe(task))
    kept = [
        run
        for run in runs
        if (run.asked.task, run.asked.method, run.asked.density, run.asked.recipe) == wanted
    ]
    if len({run.asked.lr for run in kept}) > 1:
        raise InvalidInput(
            f"{task}, {row.label}: runs at several learning rates; a search was changed: take the "
            "lines of the old one out of the results"
        )
    return [run.outcome for run in kept if run.outcome is not None]


def _densities(method: str, *shares: float) -> Iterator[Row]:
    return (Row(f"{method}, {share:.1%}", method, share) for share in shares)


STUDIES = {
    study.name: study
    for study in (
        Study("quality", GLUE, tuple(Row(name, name) for name in COMPARED)),
        Study(
            "instruct",
            ("instruct",),
            tuple(Row(name, name, INSTRUCT_DENSITY) for name in COMPARED),
        ),
        Study(
            "density",
            ("SST-2",),
            (
                *_densities("folded-feedback", 0.001, 0.01, 0.1),
                Row("all entries", "folded-full"),
                *_densities("meprop", 0.001, 0.01, 0.1),
                *_densities("lora-thin", 0.004, 0.01, 0.1),
            ),
        ),
        Study(
            "rank",
            ("CoLA", "SST-2"),
            (
                *(
                    Row(f"rank {rank}", "folded-feedback", basis={"rank": rank})
                    for rank in (48, 96, 192)
                ),
                Row("full", "folded-feedback"),
            ),
        ),
        Study(
            "steps",
            ("CoLA", "SST-2"),
            (
                Row("random basis", "folded", basis={"data": RANDOM}),
                *(
                    Row(f"{steps} step{'s' * (steps > 1)}", "folded", basis={"steps": steps})
                    for steps in (1, 3, 10)
                ),
                Row("30 steps", "folded"),
                Row("100 steps", "folded", basis={"steps": 100}),
            ),
        ),
        Study(
            "transfer",
            ("SST-2",),
            (
                *(Row(f"basis of {name}", "folded", basis={"data": name}) for name in GLUE),
                Row("of all three", "folded", basis={"data": JOINED.join(GLUE)}),
                Row("random basis", "folded", basis={"data": RANDOM}),
                Row("no basis (MeProp)", "meprop"),
            ),
        ),
        Study(
            "normalize",
            ("SST-2",),
            (
                Row("gradients as they are", "folded"),
                Row("scaled to norm 1", "folded", basis=NORMALIZED),
                Row("as they are, error feedback", "folded-feedback"),
                Row("scaled to norm 1, error feedback", "folded-feedback", basis=NORMALIZED),
            ),
        ),
        Study(
            "feedback",
            GLUE,
            (
                Row("each gradient for itself", "folded"),
                Row("error feedback", "folded-feedback"),
                Row("no basis (MeProp)", "meprop"),
                Row("no basis, error feedback", "meprop-feedback"),
            ),
        ),
        Study(
            "share",
            ("CoLA", "SST-2"),
            (
                Row("folded-feedback, a basis a role", "folded-feedback"),
                Row(
                    "folded-feedback, a basis a layer", "folded-feedback", basis={"share": "layer"}
                ),
                Row("adapter, a basis a role", "adapter", basis={"share": "role"}),
                Row("adapter, a basis a layer", "adapter"),
            ),
        ),
        Study("selection", GLUE, tuple(Row(name, name) for name in SELECTIONS)),
        Study("refresh", ("CoLA", "SST-2"), tuple(Row(name, name) for name in REFRESHED)),
    )
}
