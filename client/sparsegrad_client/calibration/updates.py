"""One step of training over several ranks: every weight moves by the mean of their gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .ranks import Ranks


@dataclass(eq=False)
class _Weight:
    weight: nn.Parameter
    optimizer: torch.optim.Optimizer
    gradient: Tensor | None = None


class AveragedUpdate:
    """Keeps a step's gradients until every rank has its own, then steps by their mean.

    A layer that no token reached on one rank counts as zero there; one that none reached on any
    rank stays where it is.

    Args:
        ranks: the processes.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._weights: list[_Weight] = []

    def keeper(self, weight: nn.Parameter, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
        """What to call when the weight's gradient is complete; the optimizer steps in `apply`."""
        entry = _Weight(weight, optimizer)
        self._weights.append(entry)

        def keep() -> None:
            entry.gradient = weight.grad

        return keep

    def apply(self) -> None:
        """Average and step, in the order in which the weights were named, on all ranks."""
        if not self._weights:
            return
        first = self._weights[0].weight
        reached = torch.tensor([entry.gradient is not None for entry in self._weights])
        ranks_reached = self._ranks.sum_(reached.int().to(first.device)).tolist()
        for entry, ranks in zip(self._weights, ranks_reached, strict=True):
            if ranks:
                self._step(entry)

    def _step(self, entry: _Weight) -> None:
        weight = entry.weight
        # A copy: a frame that waits to be sent may be a view of the gradient.
        if entry.gradient is None:
            mean = torch.zeros_like(weight)
        else:
            mean = entry.gradient.detach().clone()
        weight.grad = self._ranks.sum_(mean).div_(self._ranks.count)
        entry.optimizer.step()
        weight.grad, entry.gradient = None, None
