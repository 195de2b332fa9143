"""SparseGrad in its engines and selections, and MeProp, which needs no basis.

MeProp (the paper's baseline) keeps the largest entries of the gradient as it is. In the basis of
unit vectors that is what `folded` does, so both have the same optimizer, moments and selection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from sparsegrad_client import Basis, SparseGradConfig, build_optimizer, sparsify
from sparsegrad_client.layers import sparse_layers

from .bases import unit_basis
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
        return _prepare(setting, setting.basis, sized, setting.warm_up if warm_up else ())

    return prepare


def meprop(setting: Setting) -> Prepared:
    """The entries of the weight whose gradient is largest, at each step anew."""
    basis = unit_basis(setting.groups)
    config = SparseGradConfig(engine="folded", selection="dynamic", density=setting.density)
    return _prepare(setting, basis, config)


def _prepare(
    setting: Setting,
    basis: Basis,
    config: SparseGradConfig,
    warm_up: Sequence[Mapping[str, Tensor]] = (),
) -> Prepared:
    sparsify(setting.model, basis, config, warm_up=warm_up)
    entries = sum(layer.entries for layer in sparse_layers(setting.model).values())
    optimizer = build_optimizer(setting.model, lr=setting.lr, head_lr=setting.head_lr)
    return Prepared(optimizer, entries)
