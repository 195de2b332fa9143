"""Optimizers for sparse models."""

from __future__ import annotations

from .build import SparseGradOptimizer, build_optimizer, other_parameters
from .masked_adam import MaskedAdam
from .masked_adam_reference import MaskedAdamReference

__all__ = [
    "MaskedAdam",
    "MaskedAdamReference",
    "SparseGradOptimizer",
    "build_optimizer",
    "other_parameters",
]
