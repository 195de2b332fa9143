"""Selecting in each backward pass, before gradients add up: `SparseGradConfig.accumulate`.

The default adds up whole gradients and selects once, in the optimizer step. The paper's published
code selects in every backward pass: k entries of each micro-batch's gradient, whose union the
step changes.

The number of entries kept depends on the gradient, so `torch.compile` breaks its graph at each
such layer, where it compiles the layers of the default in one piece.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from sparsegrad_shared.errors import NonFiniteGradient

from ..selection import largest_entries


def selecting_in_backward(
    coordinates: Float[Tensor, "r_out r_in"], entries: int
) -> Float[Tensor, "r_out r_in"]:
    """The coordinates unchanged; each backward pass keeps the largest entries of their gradient."""
    selected: Tensor = _Selected.apply(coordinates, entries)  # type: ignore[no-untyped-call]
    return selected


def keep_largest(
    gradient: Float[Tensor, "r_out r_in"], entries: int
) -> Float[Tensor, "r_out r_in"]:
    """The gradient with all but its largest entries set to zero.

    One that holds NaN or infinity comes back as it is: a loss scaler has to see it, and skip the
    step.
    """
    try:
        indices = largest_entries(gradient, entries)
    except NonFiniteGradient:
        return gradient
    kept = torch.zeros_like(gradient)
    kept.view(-1)[indices] = gradient.flatten()[indices]
    return kept


class _Selected(torch.autograd.Function):
    """The identity, whose backward pass is `keep_largest`.

    torch types the context loosely (what is saved on it is not declared), and so do we.
    """

    @staticmethod
    def forward(coordinates: Tensor, entries: int) -> Tensor:
        return coordinates.view_as(coordinates)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        ctx.entries = inputs[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return keep_largest(gradient, ctx.entries), None
