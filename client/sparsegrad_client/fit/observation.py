"""Looking at a layer's whole gradient for one backward pass, whatever its engine computes.

An engine computes no more of G = gᵀ x than it needs: the `adapter` a block of G̃, the `folded` one
G̃ without what lies outside a truncated basis. So both are formed anew from the two factors: x from
the layer's call, g from the backward pass that reaches it. An autograd node keeps x meanwhile, as
any layer's does: where the engine keeps x too it is the same memory, and under gradient
checkpointing it is computed again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.module_tracker import ModuleTracker

from ..layers import SparseGradLinear
from ..layers.rotation import gradient_in_basis, tokens

Take = Callable[[SparseGradLinear, Float[Tensor, "d_out d_in"], Float[Tensor, "r_out r_in"]], None]


class Observation:
    """One layer's gradient, of the next backward pass that reaches it.

    Set as a layer's `observer`, it takes itself away when it has seen the gradient.

    Args:
        layer: the layer.
        take: called with the layer, G and G̃, in float32 at least.
    """

    def __init__(self, layer: SparseGradLinear, take: Take) -> None:
        self._layer = layer
        self._take = take
        self._calls = 0  # of the layer before the backward pass
        self._seen = 0  # of these, how many the backward pass has reached
        self._sums: tuple[Tensor, Tensor] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        # A copy of the model is another model, at which nobody looks.
        return None

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __call__(
        self, x: Float[Tensor, "*batch d_in"], y: Float[Tensor, "*batch d_out"]
    ) -> Float[Tensor, "*batch d_out"]:
        """The layer's output as it was, whose gradient will be looked at."""
        # Checkpointing calls a layer again in the backward pass, which is the same call; before
        # that the reentrant kind calls it without gradients, as no evaluation does in training.
        if not ModuleTracker().is_bw:
            self._calls += y.requires_grad or self._layer.training
        if not y.requires_grad:
            return y
        observed: Tensor = _Observed.apply(y, x, self)  # type: ignore[no-untyped-call]
        return observed

    def add(self, g: Float[Tensor, "*batch d_out"], x: Float[Tensor, "*batch d_in"]) -> None:
        """Add one call's part to the gradient."""
        dtype = g.dtype if g.dtype == torch.float64 else torch.float32
        g, x = tokens(g).to(dtype), tokens(x).to(dtype)
        U, V = self._layer.group.lent(g.device, dtype)
        G = g.T @ x
        # With fewer tokens than G has rows and columns, rotating its factors costs less.
        few = len(g) < min(G.shape)
        rotated = gradient_in_basis(g, x, U, V) if few else torch.linalg.multi_dot([V.T, G, U])
        if self._sums is None:
            self._sums = G, rotated
        else:
            self._sums[0].add_(G)
            self._sums[1].add_(rotated)
        self._seen += 1
        if self._seen >= self._calls:  # so that no two layers' gradients need be held
            self.finish()

    def finish(self) -> None:
        """Hand out what has been seen so far, and look no more."""
        ours: object = self
        if self._layer.observer is ours:
            self._layer.observer = None
        sums, self._sums = self._sums, None
        if sums is not None:
            self._take(self._layer, *sums)


class _Observed(torch.autograd.Function):
    """A copy, since a view of the output could not be changed in place by what comes after.

    torch types the context loosely (what is saved on it is not declared), and so do we.
    """

    @staticmethod
    def forward(y: Tensor, x: Tensor, observation: Observation) -> Tensor:
        return y.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        _, x, ctx.observation = inputs
        ctx.save_for_backward(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        (x,) = ctx.saved_tensors
        ctx.observation.add(g, x)
        return g, None, None
