"""Sums judged on a task with the task's own head, one a line, appended when it is done.

A line says what was added and how much of it counts (`Sum`), what the changes have in common, the
task, the seed, and what it was made on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evidence.fine_tuning import Judged
from json_lines import append_row, read_rows
from machine import commit, machine, versions


@dataclass(frozen=True)
class Sum:
    """What is put on the pre-trained layers.

    Attributes:
        added: the tasks whose changes are added.
        scale: what the sum is multiplied by.
    """

    added: tuple[str, ...]
    scale: float


@dataclass(frozen=True)
class Asked:
    """What tells a judgement from another.

    Attributes:
        common: what the changes have in common, as JSON: of `shelf.Common`.
        task: what is judged.
        seed: of all changes that are added.
        trained: rows and epochs of each task whose change or head is used.
        sum: what is put on the pre-trained layers.
    """

    common: str
    task: str
    seed: int
    trained: tuple[tuple[str, int | None, int], ...]
    sum: Sum

    @property
    def method(self) -> str:
        """The name of the method that made the changes."""
        name: str = json.loads(self.common)["method"]
        return name


@dataclass(frozen=True)
class Judgement:
    """How good a sum is on a task.

    Attributes:
        asked: which sum, which task.
        held_out: on the rows that choose a scale.
        development: on the rows that figures are made of.
    """

    asked: Asked
    held_out: Judged
    development: Judged


class Judgements:
    """The judgements in a file, and new ones.

    Args:
        path: the file; made with the first judgement.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made = {(made := _judgement(row)).asked: made for _, row in read_rows(path)}

    def __iter__(self) -> Iterator[Judgement]:
        return iter(self._made.values())

    def __contains__(self, asked: Asked) -> bool:
        return asked in self._made

    def add(self, judgement: Judgement) -> None:
        """Write a judgement down; it is on disk on return."""
        made_on = {"machine": machine(), "commit": commit(), "versions": versions()}
        said = asdict(judgement)
        said["asked"]["common"] = json.loads(judgement.asked.common)
        append_row(self._path, said | made_on)
        self._made[judgement.asked] = judgement


def _judgement(row: Mapping[str, Any]) -> Judgement:
    asked = dict(row["asked"])
    asked["common"] = json.dumps(asked["common"], sort_keys=True)
    asked["trained"] = tuple(tuple(part) for part in asked["trained"])
    asked["sum"] = Sum(tuple(asked["sum"]["added"]), asked["sum"]["scale"])
    return Judgement(Asked(**asked), Judged(**row["held_out"]), Judged(**row["development"]))
