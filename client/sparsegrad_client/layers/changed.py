"""x (W + ΔW)ᵀ + b for a ΔW of low rank, as one product.

Layout::

    W     d_out × d_in   frozen
    down  d_in × r       ΔWᵀ = down up
    up    r × d_out

The sum W + ΔW costs r d_out d_in, once in each direction; taking the tokens through both factors
beside W costs 2 r (d_in + d_out) a token, and writes the output and the input's gradient twice. So
the sum is cheaper from some hundred tokens on. It is not kept for the backward pass: a copy of the
weight a layer would be more than all that LoRA keeps.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .rotation import tokens


def one_product_is_cheaper(count: int, d_out: int, d_in: int) -> bool:
    """Whether to add ΔW to W first, for so many tokens: forward and backward pay for a sum each."""
    return count * (d_out + d_in) > d_out * d_in


def changed_product(
    x: Float[Tensor, "*batch d_in"],
    W: Float[Tensor, "d_out d_in"],
    bias: Float[Tensor, " d_out"] | None,
    down: Float[Tensor, "d_in r"],
    up: Float[Tensor, "r d_out"],
) -> Float[Tensor, "*batch d_out"]:
    """The product, x (W + ΔW)ᵀ + b; W gets no gradient."""
    product: Tensor = _ChangedProduct.apply(x, W, bias, down, up)  # type: ignore[no-untyped-call]
    return product


class _ChangedProduct(torch.autograd.Function):
    """The product, with the gradients of x Wᵀ + (x down) up + b.

    torch types the context loosely (what is saved on it is not declared), and so do we.
    """

    @staticmethod
    def forward(x: Tensor, W: Tensor, bias: Tensor | None, down: Tensor, up: Tensor) -> Tensor:
        return nn.functional.linear(x, torch.addmm(W, up.T, down.T), bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        x, W, _, down, up = inputs
        _, _, _, needs_down, needs_up = ctx.needs_input_grad
        projection = tokens(x) @ down if needs_up else None
        ctx.save_for_backward(x if needs_down else None, projection, W, down, up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, projection, W, down, up = ctx.saved_tensors
        needs_x, _, needs_bias, needs_down, needs_up = ctx.needs_input_grad
        rows = tokens(g)
        return (
            g @ torch.addmm(W, up.T, down.T) if needs_x else None,
            None,
            rows.sum(0) if needs_bias else None,
            tokens(x).T @ (rows @ up.T) if needs_down else None,
            projection.T @ rows if needs_up else None,
        )
