"""MeProp, the paper's baseline: the largest entries of the gradient as it is, without a basis.

In the basis of unit vectors that is what SparseGrad does. So it has the same optimizer, moments
and selection, on layers that leave out the products with unit matrices.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from sparsegrad_client import SparseGradConfig, build_optimizer
from sparsegrad_client.convert import replace_module
from sparsegrad_client.layers.plain import read_plain
from sparsegrad_client.layers.reference import ReferenceLinear

from .bases import unit_basis
from .method import Prepared, Setting


class OriginalLinear(ReferenceLinear):
    """The reference layer in the basis of unit vectors: its coordinates are the weight itself."""

    def _product(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        return nn.functional.linear(x, self._watched_coordinates(), self.bias)


def meprop(*, error_feedback: bool = False) -> Callable[[Setting], Prepared]:
    """The entries of the weight whose gradient is largest, at each step anew.

    Args:
        error_feedback: whether what a step does not keep is added to the next gradient.
    """

    def prepare(setting: Setting) -> Prepared:
        model, basis = setting.model, unit_basis(setting.groups)
        config = SparseGradConfig(density=setting.density, error_feedback=error_feedback)
        model.requires_grad_(False)
        for parameter in setting.head:
            parameter.requires_grad_(True)
        entries = 0
        for layer in (layer for group in setting.groups for layer in group.layers):
            module = model.get_submodule(layer.path)
            trained = OriginalLinear(read_plain(module, layer.path), layer.path, basis, config)
            replace_module(model, module, trained)
            entries += trained.entries
        optimizer = build_optimizer(model, lr=setting.lr, head_lr=setting.head_lr)
        return Prepared(optimizer, entries)

    return prepare
