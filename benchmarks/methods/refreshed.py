"""SparseGrad whose basis follows the training: computed anew every so many steps.

Layout (that of `sparsegrad_client.basis`, and)::

    G̃      d_out × d_in    gradient of one layer in the present basis, Vᵀ G U
    A_in   d_in × d_in     Σ G̃ᵀG̃ over a group's layers and the steps since the last refresh, float64
    A_out  d_out × d_out   Σ G̃G̃ᵀ, float64

U and V are square, so G = V G̃ Uᵀ and Σ GᵀG = U A_in Uᵀ: where Q are the eigenvectors of A_in, those
of Σ GᵀG are U Q. No gradient need be rotated back. Gradients are those of the backward passes,
before they are clipped, as a calibration's are.

The weight stays in the original space, so a refresh changes nothing of the model. The moments
belong to coordinates that are no more: they begin anew, and so does the count of steps that
corrects their bias. The second moment could not follow: of an entry of the new basis it is no
function of those of the old ones. `restarted` forgets them as often in a basis that stays, which
tells what a refresh brings from what forgetting does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.optim import Optimizer

from sparsegrad_client import Basis
from sparsegrad_client.basis import GroupBasis
from sparsegrad_client.layers import FoldedLinear, sparse_layers
from sparsegrad_client.sparse_vector import SparseVector

from .method import Prepared, Setting
from .sparse import folded


def refreshed(every: int) -> Callable[[Setting], Prepared]:
    """`folded`, in a basis that is computed anew every so many steps from their gradients."""

    def prepare(setting: Setting) -> Prepared:
        prepared = folded(setting)
        layers = folded_layers(setting.model)
        following = Following(layers)

        def refresh() -> None:
            basis = following.basis()
            for layer in layers:
                move(layer, basis)
            forget(prepared.optimizer, layers)

        after_each(every, prepared.optimizer, refresh)
        return prepared

    return prepare


def restarted(every: int) -> Callable[[Setting], Prepared]:
    """`folded`, whose moments begin anew every so many steps; the basis stays."""

    def prepare(setting: Setting) -> Prepared:
        prepared = folded(setting)
        layers = folded_layers(setting.model)
        after_each(every, prepared.optimizer, lambda: forget(prepared.optimizer, layers))
        return prepared

    return prepare


def folded_layers(model: nn.Module) -> list[FoldedLinear]:
    """The layers of a model that are trained in a basis."""
    return [layer for layer in sparse_layers(model).values() if isinstance(layer, FoldedLinear)]


def after_each(every: int, optimizer: Optimizer, act: Callable[[], None]) -> None:
    """Act after each `every`-th step of an optimizer."""
    steps = itertools.count(1)

    def after_step(*_: Any) -> None:  # noqa: ANN401  # torch's hook: optimizer and arguments
        if next(steps) % every == 0:
            act()

    optimizer.register_step_post_hook(after_step)


def move(layer: FoldedLinear, basis: Basis) -> None:
    """Train a `folded` layer in another basis of the same shape; its weight is as it was."""
    layer.basis = basis
    layer.group = layer.part = basis.group_of(layer.name)
    # What changed so far is in the weight. By coordinates, they were those of the basis before.
    layer.changes = SparseVector(layer.size, like=layer.dense_weight())


def forget(optimizer: Optimizer, layers: Sequence[FoldedLinear]) -> None:
    """Begin the layers' moments anew, and the count of their steps."""
    for layer in layers:
        optimizer.state.pop(layer.coordinates, None)


class Following:
    """Sees each gradient of some layers, and knows the basis of those since it was last asked.

    Args:
        layers: all layers of a model that `sparsify` made, in full bases.

    Raises:
        ValueError: when a basis is truncated: of the gradients outside it nothing is seen.
    """

    def __init__(self, layers: Sequence[FoldedLinear]) -> None:
        self._groups = dict(layers[0].basis.groups)
        for group in self._groups.values():
            if not group.is_full:
                raise ValueError(
                    f"group {group.name!r}: expected a full basis to be refreshed, got "
                    f"{group.r_out} of {group.d_out} columns and {group.r_in} of {group.d_in}"
                )
        self._sums: dict[str, GramMatrices] = {}
        for layer in layers:
            watch = self._watcher(layer.group.name)
            layer.coordinates.register_hook(watch)  # type: ignore[no-untyped-call]

    def _watcher(self, name: str) -> Callable[[Tensor], None]:
        def watch(G: Tensor) -> None:
            if name not in self._sums:
                self._sums[name] = GramMatrices(G)
            self._sums[name].add(G)

        return watch

    def basis(self) -> Basis:
        """The basis of the gradients since the last call; groups that had none keep theirs."""
        self._groups |= {name: sums.basis(self._groups[name]) for name, sums in self._sums.items()}
        self._sums = {}
        return Basis("sha256:" + "0" * 64, self._groups)  # nobody is told of it


class GramMatrices:
    """A_in and A_out of one group; see the module's docstring.

    Args:
        like: a gradient.
    """

    def __init__(self, like: Float[Tensor, "d_out d_in"]) -> None:
        rows, columns = like.shape
        self._in = like.new_zeros(columns, columns, dtype=torch.float64)
        self._out = like.new_zeros(rows, rows, dtype=torch.float64)

    def add(self, G: Float[Tensor, "d_out d_in"]) -> None:
        """Add a gradient in the present basis."""
        self._in += G.T @ G
        self._out += G @ G.T

    def basis(self, present: GroupBasis) -> GroupBasis:
        """The eigenbasis of these sums, which are in the coordinates of the present one."""
        (U, eigenvalues_in), (V, eigenvalues_out) = (
            _turned(basis, sums) for basis, sums in ((present.U, self._in), (present.V, self._out))
        )
        return GroupBasis(present.name, present.layers, U, V, eigenvalues_in, eigenvalues_out)


def _turned(
    basis: Float[Tensor, "d d"], sums: Float64[Tensor, "d d"]
) -> tuple[Float64[Tensor, "d d"], Float64[Tensor, " d"]]:
    """The basis times the eigenvectors of the sums, by falling eigenvalue.

    It stays float64: turned time and again in float32 it would not stay orthonormal.
    """
    eigenvalues, Q = torch.linalg.eigh(sums)
    return basis.to(sums) @ Q.flip(1), eigenvalues.flip(0)
