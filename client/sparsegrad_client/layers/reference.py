"""The `reference` engine: the paper's layer as it stands (sections 3.1 and 3.2, Table 2).

It holds W̃ itself and computes y = (x U) W̃ᵀ Vᵀ + b, so it pays for two rotations in each
direction. Every other engine is tested against it.

A truncated basis spans a part of W only: the rest, W - V W̃ Uᵀ, stays beside as `residual`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ..basis import Basis
from ..config import SparseGradConfig
from ..sparse_vector import SparseEntries
from ..support import Entries, Support
from .base import SparseGradLinear
from .plain import PlainLayer
from .rotation import fold_entries


class ReferenceLinear(SparseGradLinear):
    """The paper's layer; see the module's docstring, and the base class for the arguments."""

    engine: ClassVar[str] = "reference"
    residual: Tensor | None
    bias: nn.Parameter | None

    def __init__(
        self,
        plain: PlainLayer,
        name: str,
        basis: Basis,
        config: SparseGradConfig,
        support: Support | Entries | None = None,
    ) -> None:
        super().__init__(plain, name, basis, config, support)
        self.bias = plain.take_bias(trains=config.train_bias)
        W = plain.matrix(name)
        U, V = self.part.on(W.device, W.dtype)
        self.coordinates = nn.Parameter(V.T @ W @ U)
        residual = None if self.part.is_full else W - V @ self.coordinates.detach() @ U.T
        self.register_buffer("residual", residual)
        self.changes = self._no_changes(like=plain.weight)

    def _product(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """The output, x Wᵀ + b."""
        U, V = self.part.on(self.coordinates.device, self.coordinates.dtype)
        y = (x @ U) @ self._watched_coordinates().T @ V.T
        if self.residual is not None:
            y = y + x @ self.residual.T
        return y if self.bias is None else y + self.bias

    @property
    def delta(self) -> SparseEntries:
        """Every change of W̃ since the layer was made, by position."""
        return self.changes.entries

    def dense_weight(self) -> Float[Tensor, "d_out d_in"]:
        """V W̃ Uᵀ, and the part of W outside the basis."""
        U, V = self.part.on(self.coordinates.device, self.coordinates.dtype)
        W = V @ self.coordinates @ U.T
        return W if self.residual is None else W + self.residual

    def merged(self) -> nn.Module:
        """The plain layer with the trained weight, of the class that was replaced."""
        assert self.layout is not None  # noqa: S101  # the weight was plain
        weight = self.layout.view(self.dense_weight().detach()).contiguous()
        parameter = nn.Parameter(weight, requires_grad=False)
        return self.layout.build(parameter, self.bias).train(self.training)

    def _add_entries_(self, indices: Int64[Tensor, " k"], values: Float[Tensor, " k"]) -> None:
        self.coordinates.view(-1)[indices] += values
        self.changes.add_(self.positions_of(indices), values)

    @torch.no_grad()
    def add_delta_(self, positions: Int64[Tensor, " k"], values: Float[Tensor, " k"]) -> None:
        """Add what another training changed; see the base class."""
        U, V = self.group.on(self.coordinates.device, self.coordinates.dtype)
        self._set_weight(self.dense_weight() + fold_entries(positions, values, U, V))
        self.changes.add_(positions, values)

    @torch.no_grad()
    def move_(self, support: Support) -> None:
        """Train another block from now on; see the base class."""
        W = self.dense_weight()
        self._set_support(support, W.device)
        self.coordinates.grad = None  # it was of another block
        self._set_weight(W)

    def _set_weight(self, W: Float[Tensor, "d_out d_in"]) -> None:
        U, V = self.part.on(W.device, W.dtype)
        self.coordinates.data = V.T @ W @ U
        if not self.part.is_full:
            self.residual = W - V @ self.coordinates @ U.T

    def _resize(self) -> None:
        self.coordinates.data = self.coordinates.new_zeros(self.shape)
        if self.residual is None and not self.part.is_full:
            self.residual = self.coordinates.new_zeros(self.out_features, self.in_features)
