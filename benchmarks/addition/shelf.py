"""The changes of a run's tasks and seeds, each trained once and kept in a folder.

::

    FOLDER/<digest of what all have in common>/basis                          its digest
                                               <task>-<rows>x<epochs>-<seed>/

What was cut off goes on: a folder is whole, or it is not there. Processes may share a shelf, each
with seeds of its own.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from evidence.bases import JOINED, Bases, Recipe
from evidence.fine_tuning import setting_of
from evidence.tasks import Task
from methods import METHODS, Setting
from torch import nn

from sparsegrad_client import Basis, fetch_basis
from sparsegrad_client.disk import flush
from sparsegrad_client.training.loop import Schedule, train
from sparsegrad_shared.digests import digest_of

from .changes import Changes, changes_of

BASIS = "basis"


@dataclass(frozen=True)
class Common:
    """What changes that are added have in common.

    Attributes:
        method: its name.
        model: the model's id.
        density: share of the entries that may be trained.
        lr: learning rate of the layers.
        recipe: what the one basis is made of; None for a method without.
        calibrated: training rows of each task that makes the basis; all where None.
        judged: rows that judge, all when None. It shifts what is trained on: as many rows of the
            training set are held out.
    """

    method: str
    model: str
    density: float
    lr: float
    recipe: Recipe | None
    calibrated: Mapping[str, int | None]
    judged: int | None

    def data(self) -> dict[str, Any]:
        """As JSON has it."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]


class Shelf:
    """Changes of one method, trained when they are asked for first.

    Args:
        folder: where they are kept.
        common: what they have in common.
        tasks: those that are trained, and those that make the basis.
        bases: makes the basis, where the shelf has none yet.
    """

    def __init__(
        self, folder: Path, common: Common, tasks: Mapping[str, Task], bases: Bases
    ) -> None:
        said = json.dumps(common.data(), sort_keys=True)
        self._folder = folder / digest_of([said.encode()]).removeprefix("sha256:")[:16]
        self._common = common
        self._tasks = tasks
        self._basis = self._find_basis(bases)
        self._changes: Changes = changes_of(METHODS[common.method], self._basis)

    def model(self, task: str, seed: int, added: list[str], scale: float) -> nn.Module:
        """The pre-trained model and the sum of some tasks' changes, with the head of `task`."""
        model = self._tasks[task].fresh_model(seed)
        folders = [self.train(name, seed) for name in added]
        self._changes.put(model, self.train(task, seed), folders, scale)
        return model

    def train(self, task: str, seed: int) -> Path:
        """The folder of a task's change, which is trained if it is not there."""
        chosen = self._tasks[task]
        folder = self._folder / f"{task}-{chosen.rows or 'all'}x{chosen.epochs}-{seed}"
        if not folder.exists():
            start = time.perf_counter()
            setting = self._trained(chosen, seed)
            self._changes.save(setting, folder)
            seconds = time.perf_counter() - start
            print(f"{task} {self._common.method} seed {seed}: trained, {seconds:.0f} s", flush=True)
        return folder

    def _trained(self, task: Task, seed: int) -> Setting:
        common, data = self._common, task.load()
        setting = setting_of(
            task, data, self._basis, lr=common.lr, seed=seed, density=common.density
        )
        prepared = METHODS[common.method].prepare(setting)
        torch.manual_seed(seed)  # what dropout draws, however much a method drew before
        train(setting.model, prepared.optimizer, data.training(seed), Schedule(epochs=task.epochs))
        return setting

    def _find_basis(self, bases: Bases) -> Basis | None:
        """The one basis, calibrated by whoever needs it first."""
        recipe = self._common.recipe
        if recipe is None:
            return None
        pinned = self._folder / BASIS
        if not pinned.exists():
            calibrated = bases.of(recipe, self._tasks[recipe.data.split(JOINED)[0]])
            assert calibrated is not None  # or there would be no recipe
            pin(pinned, calibrated.digest)
        return fetch_basis(pinned.read_text())


def pin(path: Path, text: str) -> None:
    """Write a file whole, unless another process has: what stands there never changes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{uuid.uuid4().hex}")
    aside.write_text(text)
    flush(aside)
    with suppress(FileExistsError):
        os.link(aside, path)
    aside.unlink()
    flush(path.parent)
