"""The bases that runs need: each calibrated once, through the basis service of this machine."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from methods import Method
from methods.bases import random_basis
from torch import Tensor

from sparsegrad_client import Basis, calibrate
from sparsegrad_client.groups import Share, find_groups
from sparsegrad_shared.calibrations import Normalization

from .fine_tuning import HEAD_LR
from .tasks import Task

Batch = Mapping[str, Tensor]

STEPS = 30  # the paper's
HELD_OUT = 3  # steps after them, for the basis's report
SEED = 1000  # no run's: neither the order of its rows nor its head
RANDOM = "random"
JOINED = "+"


@dataclass(frozen=True)
class Recipe:
    """What a basis is made of.

    Attributes:
        data: the task whose gradients make it; several, joined by ``+``, take turns; `RANDOM`
            stands for columns drawn at random: what a basis is worth without any gradient.
        steps: training steps whose gradients are taken.
        share: what it belongs to.
        rank: its columns; all when None.
        normalize: whether each gradient is scaled to norm 1.
    """

    data: str
    steps: int = STEPS
    share: Share = "role"
    rank: int | None = None
    normalize: Normalization = "none"


def recipe_of(method: Method, task: str, steps: int = STEPS) -> Recipe | None:
    """The basis that a method takes for the task of this name, if it takes one."""
    if method.share is None:
        return None
    return Recipe(task, steps, method.share, method.rank)


class Bases:
    """Bases by recipe.

    Args:
        tasks: the tasks that recipes name.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        self._tasks = tasks
        self._made: dict[tuple[Recipe, str], Basis] = {}

    def of(self, recipe: Recipe | None, task: Task) -> Basis | None:
        """The basis of a recipe for a task's model; None without one."""
        if recipe is None:
            return None
        key = recipe, task.model
        if key not in self._made:
            random = recipe.data == RANDOM
            self._made[key] = self._random(recipe, task) if random else self._calibrate(recipe)
        return self._made[key]

    def _calibrate(self, recipe: Recipe) -> Basis:
        tasks = [self._tasks[name] for name in recipe.data.split(JOINED)]
        model = tasks[0].fresh_model(SEED)
        torch.manual_seed(SEED)  # what dropout draws
        return calibrate(
            model,
            _in_turns([task.load().training(SEED) for task in tasks], recipe.steps + HELD_OUT),
            f"local/evidence-{recipe.data.replace(JOINED, '-').lower()}-{recipe.share}",
            spec=tasks[0].spec(model, recipe.share),
            steps=recipe.steps,
            held_out=HELD_OUT,
            rank=recipe.rank,
            normalize=recipe.normalize,
            head_lr=HEAD_LR,
        )

    def _random(self, recipe: Recipe, task: Task) -> Basis:
        model = task.fresh_model(SEED)
        torch.manual_seed(SEED)
        return random_basis(find_groups(model, task.spec(model, recipe.share)), recipe.rank)


def _in_turns(sources: Sequence[Iterable[Batch]], count: int) -> list[Batch]:
    """A batch of each, again and again; each begins anew when it ends."""
    turns = zip(*(itertools.cycle(source) for source in sources), strict=True)
    return list(itertools.islice(itertools.chain.from_iterable(turns), count))
