"""A cell of a table: a method on a task; its learning rate searched, then a run for each seed."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from methods import METHODS, Method
from transformers.utils import logging

from sparsegrad_shared.errors import InvalidInput

from .bases import STEPS, Bases, Recipe, recipe_of
from .fine_tuning import fine_tune
from .results import Asked, Results, Run
from .search import search
from .tables import SEARCH_SEED
from .tasks import Task

FAILED = float("-inf")
_runner: Runner


@dataclass(frozen=True)
class Cell:
    """A method on a task.

    Attributes:
        task: what is learned.
        method: the method's name.
        density: share of the entries that may be trained.
        recipe: what the basis is made of; None for a method without.
    """

    task: Task
    method: str
    density: float
    recipe: Recipe | None

    def asked(self, lr: float, seed: int) -> Asked:
        """One of its runs."""
        return Asked(
            task=self.task.name,
            model=self.task.place.id,
            method=self.method,
            density=self.density,
            lr=lr,
            seed=seed,
            rows=self.task.rows,
            epochs=self.task.epochs,
            recipe=self.recipe,
        )


@dataclass(frozen=True)
class Budget:
    """How much is run for each cell, the same for all.

    Attributes:
        trials: runs that search the learning rate of a method on a task, at a density. Bases of
            other recipes take the rate that was found with the method's own.
        seeds: of the runs that figures are made of.
        steps: of the calibration that makes a method's own basis.
    """

    trials: int
    seeds: tuple[int, ...]
    steps: int = STEPS


class Runner:
    """Makes the runs of cells, but for those that there are.

    Args:
        results: the runs that there are; new ones are written there.
        tasks: the tasks that recipes name.
        budget: how much is run.
    """

    def __init__(self, results: Results, tasks: Mapping[str, Task], budget: Budget) -> None:
        self._results = results
        self._bases = Bases(tasks)
        self._budget = budget

    def run(self, cell: Cell) -> None:
        """Search the learning rate, then run the seeds with it."""
        lr = self._rate(cell)
        for seed in self._budget.seeds:
            self._once(cell, lr, seed)

    def _rate(self, cell: Cell) -> float:
        method = searched(cell.method)
        if self._budget.trials < 2:
            return method.lr
        recipe = recipe_of(method, cell.task.name, self._budget.steps)
        own = replace(cell, method=method.name, recipe=recipe)

        def attempt(lr: float) -> float:
            run = self._once(own, lr, SEARCH_SEED)
            return FAILED if run.outcome is None else run.outcome.held_out.score

        return search(method.lr, self._budget.trials, attempt)

    def _once(self, cell: Cell, lr: float, seed: int) -> Run:
        asked = cell.asked(lr, seed)
        done = self._results.get(asked)
        if done is not None:
            return done
        start = time.perf_counter()
        basis = self._bases.of(cell.recipe, cell.task)
        method, data = METHODS[cell.method], cell.task.load()
        try:
            outcome = fine_tune(
                method, cell.task, data, basis, lr=lr, seed=seed, density=cell.density
            )
        except InvalidInput as error:  # the loss is no longer finite: the rate is too high
            run = self._results.add(asked, None, str(error))
        else:
            run = self._results.add(asked, outcome)
        print(_line(run, time.perf_counter() - start), flush=True)
        return run


def searched(name: str) -> Method:
    """The method whose search gives a method its learning rate."""
    method = METHODS[name]
    return method if method.rate_of is None else METHODS[method.rate_of]


def run_all(
    cells: Iterable[Cell], results: Path, tasks: Mapping[str, Task], budget: Budget, jobs: int
) -> None:
    """Run cells; `jobs` side by side, each in a process of its own with its share of the cores."""
    # What shares a search stays together, so that it is made once.
    groups: dict[tuple[str, str, float], list[Cell]] = {}
    for cell in dict.fromkeys(cells):
        shared = cell.task.name, searched(cell.method).name, cell.density
        groups.setdefault(shared, []).append(cell)
    if jobs == 1:
        _begin(results, tasks, budget, torch.get_num_threads())
        for group in groups.values():
            _run(group)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    context = multiprocessing.get_context("spawn")  # a fork would take torch's threads along
    with ProcessPoolExecutor(jobs, context, _begin, (results, tasks, budget, threads)) as pool:
        for done in [pool.submit(_run, group) for group in groups.values()]:
            done.result()


def _begin(results: Path, tasks: Mapping[str, Task], budget: Budget, threads: int) -> None:
    global _runner
    torch.set_num_threads(threads)
    logging.set_verbosity_error()
    _runner = Runner(Results(results), tasks, budget)


def _run(cells: Sequence[Cell]) -> None:
    for cell in cells:
        _runner.run(cell)


def _line(run: Run, seconds: float) -> str:
    asked = run.asked
    what = f"{asked.task} {asked.method} {asked.density:.2%} lr {asked.lr:g} seed {asked.seed}"
    if run.outcome is None:
        return f"{what}: {run.error}"
    held_out, development = run.outcome.held_out.score, run.outcome.development.score
    return f"{what}: held out {held_out:.4f}, development {development:.4f}, {seconds:.0f} s"
