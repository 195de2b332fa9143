"""SOAP, and SparseGrad at density 1, which is SOAP in a basis that stays.

The first is that of `pytorch-optimizer`, on the layers' own weights.

SOAP is Adam in the eigenbases of Shampoo's two statistics: each weight has a pair of its own, of
running means of GᵀG and GGᵀ. The first step makes them of its gradient and changes no weight; every
so many steps one round of power iteration brings them up to date. Its betas are its authors', 0.95
and 0.95.

`fixed` has a basis that was calibrated beforehand and that a role's layers share, and Adam's betas.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

from torch.optim import AdamW, Optimizer

from .method import Prepared, Setting
from .plain import regular
from .sparse import folded

NEVER = sys.maxsize  # steps, more than any run has


class Together(Optimizer):
    """Several optimizers as one, to schedules and clipping.

    Args:
        parts: over parameters of their own, each of which keeps its state.
    """

    def __init__(self, *parts: Optimizer) -> None:
        # The same dictionaries, so that a schedule's new rate reaches the parts.
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._parts = parts

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step of each."""
        for part in self._parts:
            part.step()


def soap(every: int) -> Callable[[Setting], Prepared]:
    """SOAP whose bases are brought up to date every so many steps; the head has its AdamW."""

    def prepare(setting: Setting) -> Prepared:
        from pytorch_optimizer import SOAP

        prepared = regular(setting)
        weights, *head = prepared.optimizer.param_groups
        optimizer: Optimizer = SOAP(
            weights["params"], lr=setting.lr, weight_decay=0.0, precondition_frequency=every
        )
        if head:
            optimizer = Together(optimizer, AdamW(head))
        return Prepared(optimizer, prepared.values)

    return prepare


def fixed(setting: Setting) -> Prepared:
    """`folded` at density 1, whatever the setting's: Adam on every coordinate."""
    return folded(replace(setting, density=1.0))
