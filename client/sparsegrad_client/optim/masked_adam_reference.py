"""Masked Adam said simply, over dense tensors: what `MaskedAdam` is tested against.

It works on ordinary parameters, the coordinates of the `reference` engine among them, and holds
two dense moments for each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..selection import largest_entries_reference


class MaskedAdamReference(torch.optim.Optimizer):
    """Adam that leaves all but the largest entries of each gradient alone.

    Args:
        params: parameters that train.
        entries: entries of each parameter that a step keeps.
        lr: learning rate.
        betas: decay of the two moments.
        eps: added to the denominator.
        error_feedback: whether what a step does not keep is added to the next gradient.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        entries: int,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        error_feedback: bool = False,
    ) -> None:
        super().__init__(params, {"entries": entries, "lr": lr, "betas": betas, "eps": eps})
        self._error_feedback = error_feedback

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, parameter.grad, group["entries"], group)

    def _step(
        self, parameter: Tensor, gradient: Tensor, entries: int, group: dict[str, Any]
    ) -> None:
        state = self.state[parameter]
        state.setdefault("step", 0)
        exp_avg = state.setdefault("exp_avg", torch.zeros_like(gradient))
        exp_avg_sq = state.setdefault("exp_avg_sq", torch.zeros_like(gradient))
        state["step"] += 1
        if self._error_feedback:
            gradient = gradient + state.get("remainder", 0)

        kept = torch.zeros_like(gradient, dtype=torch.bool)
        kept.view(-1)[largest_entries_reference(gradient, entries)] = True
        if self._error_feedback:
            state["remainder"] = gradient.masked_fill(kept, 0)
        beta1, beta2 = group["betas"]
        exp_avg[kept] = beta1 * exp_avg[kept] + (1 - beta1) * gradient[kept]
        exp_avg_sq[kept] = beta2 * exp_avg_sq[kept] + (1 - beta2) * gradient[kept] ** 2
        first = exp_avg / (1 - beta1 ** state["step"])
        # SparseAdam adds eps before the second moment is corrected.
        correction = math.sqrt(1 - beta2 ** state["step"])
        second = (exp_avg_sq.sqrt() + group["eps"]) / correction
        parameter[kept] -= group["lr"] * first[kept] / second[kept]
