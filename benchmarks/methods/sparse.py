"""SparseGrad in its engines and selections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sparsegrad_client import SparseGradConfig, build_optimizer, sparsify
from sparsegrad_client.layers import sparse_layers

from .method import Prepared, Setting

RANK = 256  # columns of a basis of one layer, more than any block takes


def sparse(config: SparseGradConfig, *, warm_up: bool = False) -> Callable[[Setting], Prepared]:
    """SparseGrad, at the setting's density where the config gives no block.

    Args:
        config: engine, selection and the like.
        warm_up: whether batches choose the support.
    """

    def prepare(setting: Setting) -> Prepared:
        if setting.basis is None:
            raise ValueError("a basis is needed")
        sized = replace(config, density=setting.density) if config.block is None else config
        batches = setting.warm_up if warm_up else ()
        sparsify(setting.model, setting.basis, sized, warm_up=batches)
        entries = sum(layer.entries for layer in sparse_layers(setting.model).values())
        optimizer = build_optimizer(setting.model, lr=setting.lr, head_lr=setting.head_lr)
        return Prepared(optimizer, entries)

    return prepare


def folded(setting: Setting) -> Prepared:
    """The paper's selection, fast: each step's largest entries, and nothing of the others."""
    paper = SparseGradConfig(engine="folded", selection="dynamic", error_feedback=False)
    return sparse(paper)(setting)
