"""Runs as JSON lines: one a line, appended when it is done, so that a suite goes on where it was.

Each says what it was made on: machine, commit, versions. A line that a kill cut off is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from json_lines import append_row, read_rows
from machine import commit, machine, versions

from .bases import Recipe
from .fine_tuning import Judged, Outcome, Shares


@dataclass(frozen=True)
class Asked:
    """What tells a run from another.

    Attributes:
        task: its name.
        model: the model's id.
        method: its name.
        density: share of the entries that may be trained.
        lr: learning rate of the layers.
        seed: of the head, the order of the rows and dropout; `SEARCH_SEED` chooses the rate.
        rows: examples that are trained on; all when None.
        epochs: passes over them.
        recipe: what the basis is made of; None for a method without.
    """

    task: str
    model: str
    method: str
    density: float
    lr: float
    seed: int
    rows: int | None
    epochs: int
    recipe: Recipe | None = None


@dataclass(frozen=True)
class Run:
    """A run that is done, or that failed: then `outcome` is None and `error` says why."""

    asked: Asked
    outcome: Outcome | None
    error: str | None
    machine: str
    commit: str
    versions: dict[str, str]


class Results:
    """The runs in a file, and what new ones are made on.

    Args:
        path: the file; made with the first run.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runs = {run.asked: run for run in read_runs(path)}

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def get(self, asked: Asked) -> Run | None:
        """The run, if it has been made."""
        return self._runs.get(asked)

    def add(self, asked: Asked, outcome: Outcome | None, error: str | None = None) -> Run:
        """Write a run down; it is on disk on return."""
        run = Run(asked, outcome, error, machine(), commit(), versions())
        append_row(self._path, asdict(run))
        self._runs[run.asked] = run
        return run


def read_runs(path: Path) -> list[Run]:
    """The runs of a file, none where there is no file; of two of the same the later counts."""
    runs = []
    for _, said in read_rows(path):
        asked = _asked(said["asked"])
        outcome = None if said["outcome"] is None else _outcome(said["outcome"])
        runs.append(Run(**said | {"asked": asked, "outcome": outcome}))
    return runs


def _asked(said: dict[str, Any]) -> Asked:
    recipe = said["recipe"]
    return Asked(**said | {"recipe": None if recipe is None else Recipe(**recipe)})


def _outcome(said: dict[str, Any]) -> Outcome:
    judged = {name: Judged(**said[name]) for name in ("held_out", "development")}
    shares = said["shares"]
    return Outcome(**said | judged | {"shares": None if shares is None else Shares(**shares)})
