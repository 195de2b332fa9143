"""A training loop: epochs of batches, gradient accumulation, clipping, warm-up and decay."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from sparsegrad_shared.errors import InvalidInput

from ..data.batches import Batches


@dataclass(frozen=True)
class Schedule:
    """How long and how a model is trained.

    Attributes:
        epochs: passes over the data.
        accumulation: batches whose gradients one optimizer step takes together.
        warmup: share of the steps in which the learning rates rise from 0; they fall to 0 over
            the rest, both linearly.
        max_norm: norm that the gradient is clipped to; None leaves it as it is.
    """

    epochs: int = 1
    accumulation: int = 1
    warmup: float = 0.06
    max_norm: float | None = 1.0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.accumulation < 1:
            raise InvalidInput(
                f"epochs and accumulation are at least 1; got {self.epochs} and {self.accumulation}"
            )
        if not 0 <= self.warmup < 1:
            raise InvalidInput(
                f"warmup is a share of the steps, 0 <= warmup < 1; got {self.warmup}"
            )
        if self.max_norm is not None and self.max_norm <= 0:
            raise InvalidInput(f"max_norm is positive; got {self.max_norm}")

    def steps(self, batches: int) -> int:
        """Optimizer steps for `batches` batches an epoch."""
        return self.epochs * math.ceil(batches / self.accumulation)

    def factor(self, step: int, steps: int) -> float:
        """What the learning rates are multiplied by at optimizer step `step`, from 0."""
        rising = round(self.warmup * steps)
        if step < rising:
            return (step + 1) / (rising + 1)
        return max(0.0, (steps - step) / max(1, steps - rising))


@dataclass(frozen=True)
class Step:
    """One optimizer step that was taken.

    Attributes:
        number: from 1.
        total: steps in all.
        loss: mean over its batches.
        lrs: learning rate of each of the optimizer's parameter groups in it.
    """

    number: int
    total: int
    loss: float
    lrs: tuple[float, ...] = ()


def train(
    model: nn.Module,
    optimizer: Optimizer,
    batches: Batches,
    schedule: Schedule = Schedule(),
    on_step: Callable[[Step], None] | None = None,
) -> list[float]:
    """Train a model in place to the end of the schedule; `steps`, with the losses collected.

    Args:
        model: see `steps`.
        optimizer: see `steps`.
        batches: see `steps`.
        schedule: see `steps`.
        on_step: called after every optimizer step.

    Returns:
        The loss of each optimizer step.

    Raises:
        InvalidInput: when a loss is not finite; says at which step.
    """
    losses: list[float] = []
    for step in steps(model, optimizer, batches, schedule):
        losses.append(step.loss)
        if on_step is not None:
            on_step(step)
    return losses


def steps(
    model: nn.Module,
    optimizer: Optimizer,
    batches: Batches,
    schedule: Schedule = Schedule(),
    *,
    done: int = 0,
) -> Generator[Step]:
    """Train a model in place, a step whenever the next one is asked for.

    Its mode is put back when the iterator ends or is closed.

    Args:
        model: returns `loss` when called with a batch.
        optimizer: over the model's trainable parameters.
        batches: the data.
        schedule: how long and how.
        done: steps of the schedule that are behind; their batches are left out.

    Raises:
        InvalidInput: when a loss is not finite; says at which step. The model is as the step
            before left it.
    """
    device = next(model.parameters()).device
    total = schedule.steps(len(batches))
    scheduler = LambdaLR(optimizer, lambda step: schedule.factor(done + step, total))
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    was_training = model.training
    model.train()
    try:
        remaining = itertools.islice(_steps(batches, schedule), done, None)
        for number, parts in enumerate(remaining, start=done + 1):
            loss = _accumulate(model, parts, device, number)
            if schedule.max_norm is not None:
                nn.utils.clip_grad_norm_(parameters, schedule.max_norm)
            lrs = tuple(group["lr"] for group in optimizer.param_groups)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            yield Step(number, total, loss, lrs)
    finally:
        model.train(was_training)


def _steps(batches: Batches, schedule: Schedule) -> Iterator[list[dict[str, Tensor]]]:
    """The batches of each optimizer step; an epoch's last step may have fewer."""
    for epoch in range(schedule.epochs):
        remaining = batches.epoch(epoch)
        while parts := list(itertools.islice(remaining, schedule.accumulation)):
            yield parts


def _accumulate(
    model: nn.Module, parts: list[dict[str, Tensor]], device: torch.device, step: int
) -> float:
    """Add up the gradients of `parts`, each weighed alike; their mean loss."""
    total = 0.0
    for batch in parts:
        loss = model(**_to(batch, device)).loss / len(parts)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InvalidInput(
                f"the loss at step {step} is {value}; a smaller learning rate may help"
            )
        loss.backward()
        total += value
    return total


def _to(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in batch.items()}
