"""One run: a method on a task, with a learning rate and a seed."""

from __future__ import annotations

import itertools
import statistics
import time
from dataclasses import dataclass

import torch
from methods import Method, Setting, head_of
from torch import nn

from sparsegrad_client import Basis
from sparsegrad_client.data.batches import Batches
from sparsegrad_client.fit import BasisFit, Energy
from sparsegrad_client.groups import find_groups
from sparsegrad_client.training.evaluation import evaluate
from sparsegrad_client.training.loop import Schedule, Step, train

from .tasks import Data, Metric, Task

HEAD_LR = 5e-4
WARM_UP = 8  # batches
WARM_UP_SEED = 1001  # no run's order


@dataclass(frozen=True)
class Judged:
    """How good a model is on some examples.

    Attributes:
        loss: mean over the examples, or over the tokens that the loss looks at.
        score: by the task's metric; the higher the better.
    """

    loss: float
    score: float


@dataclass(frozen=True)
class Shares:
    """What the largest 1% of the entries of the run's own gradients hold of their energy.

    Attributes:
        basis: in the basis.
        original: in the original space.
    """

    basis: float
    original: float


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        values: how many values of the layers a step changes.
        held_out: on the rows that choose the learning rate.
        development: on the rows that judge.
        training_loss: mean over the last tenth of the steps.
        seconds: of training alone.
        shares: means over some of its steps; None for a method without a basis.
    """

    values: int
    held_out: Judged
    development: Judged
    training_loss: float
    seconds: float
    shares: Shares | None = None


def setting_of(
    task: Task, data: Data, basis: Basis | None, *, lr: float, seed: int, density: float
) -> Setting:
    """What a method is given to prepare: a fresh model, and what of it is fine-tuned."""
    model = task.fresh_model(seed)
    groups = find_groups(model, task.spec(model, "role"))
    head = [] if task.causal else head_of(model)
    warm_up = list(itertools.islice(data.training(WARM_UP_SEED), WARM_UP))
    return Setting(model, groups, head, basis, lr, HEAD_LR, density, warm_up)


def fine_tune(
    method: Method,
    task: Task,
    data: Data,
    basis: Basis | None,
    *,
    lr: float,
    seed: int,
    density: float,
) -> Outcome:
    """Train a fresh model and judge it.

    Raises:
        InvalidInput: when the loss is no longer finite.
    """
    setting = setting_of(task, data, basis, lr=lr, seed=seed, density=density)
    model, prepared = setting.model, method.prepare(setting)
    torch.manual_seed(seed)  # what dropout draws, however much a method drew before
    start = time.perf_counter()
    schedule = Schedule(epochs=task.epochs)
    fit = None if basis is None else _Fit(model)
    losses = train(model, prepared.optimizer, data.training(seed), schedule, on_step=fit)
    seconds = time.perf_counter() - start
    last = losses[-max(1, len(losses) // 10) :]
    return Outcome(
        prepared.values,
        judge(model, data.judged(data.held_out), task.metric),
        judge(model, data.judged(data.development), task.metric),
        sum(last) / len(last),
        seconds,
        None if fit is None else fit.shares(),
    )


class _Fit:
    """Looks at the gradients of some steps."""

    def __init__(self, model: nn.Module) -> None:
        self._fit = BasisFit(model, calibration=None)
        self._samples: list[Energy] = []

    def __call__(self, step: Step) -> None:
        sample = self._fit.step()
        if sample is not None:
            self._samples.append(sum(sample.values(), Energy()))

    def shares(self) -> Shares:
        """Means over the steps that were looked at."""
        return Shares(
            statistics.mean(sample.top_share for sample in self._samples),
            statistics.mean(sample.original_share for sample in self._samples),
        )


def judge(model: nn.Module, batches: Batches, metric: Metric) -> Judged:
    """A model on examples; a loss as a score is its negative, so that higher is better."""
    if metric == "pearson":
        return _correlation(model, batches)
    found = evaluate(model, batches, metric)
    return Judged(found.loss, -found.loss if found.score is None else found.score)


@torch.no_grad()
def _correlation(model: nn.Module, batches: Batches) -> Judged:
    """The correlation of a regression's scores with the labels, and the mean squared error."""
    model.eval()
    where = next(model.parameters()).device
    said, labels = [], []
    for batch in batches:
        labels.append(batch.pop("labels"))
        moved = {name: tensor.to(where) for name, tensor in batch.items()}
        said.append(model(**moved).logits.squeeze(-1).cpu())
    scores, expected = torch.cat(said), torch.cat(labels)
    error = float((scores - expected).square().mean())
    return Judged(error, float(torch.corrcoef(torch.stack([scores, expected]))[0, 1]))
