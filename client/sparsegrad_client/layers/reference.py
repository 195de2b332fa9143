"""The `reference` engine: the paper's layer as it stands (sections 3.1 and 3.2, Table 2).

It holds W̃ itself and computes y = (x U) W̃ᵀ Vᵀ + b, so it pays for two rotations in each
direction. Every other engine is tested against it.

A truncated basis spans a part of W only: the rest, W - V W̃ Uᵀ, stays beside as `residual`.
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float, Int64
from torch import Tensor, nn

from ..basis import Basis
from ..config import SparseGradConfig
from .base import SparseGradLinear
from .plain import PlainLayer


class ReferenceLinear(SparseGradLinear):
    """The paper's layer; see the module's docstring, and the base class for the arguments."""

    engine: ClassVar[str] = "reference"
    residual: Tensor | None

    def __init__(
        self, plain: PlainLayer, name: str, basis: Basis, config: SparseGradConfig
    ) -> None:
        super().__init__(plain, name, basis, config)
        W = plain.matrix
        U, V = self.group.on(W.device, W.dtype)
        self.coordinates = nn.Parameter(V.T @ W @ U)
        residual = None if self.group.is_full else W - V @ self.coordinates.detach() @ U.T
        self.register_buffer("residual", residual)

    def forward(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """The output, x Wᵀ + b."""
        U, V = self.group.on(self.coordinates.device, self.coordinates.dtype)
        y = (x @ U) @ self.coordinates.T @ V.T
        if self.residual is not None:
            y = y + x @ self.residual.T
        return y if self.bias is None else y + self.bias

    def dense_weight(self) -> Float[Tensor, "d_out d_in"]:
        """V W̃ Uᵀ, and the part of W outside the basis."""
        U, V = self.group.on(self.coordinates.device, self.coordinates.dtype)
        W = V @ self.coordinates @ U.T
        return W if self.residual is None else W + self.residual

    def _add_to_weight_(self, indices: Int64[Tensor, " k"], values: Float[Tensor, " k"]) -> None:
        self.coordinates.view(-1)[indices] += values
