"""Gradients as frames: dense, or by their factors, whichever is smaller.

Layout::

    G   d_out × d_in   the gradient of a weight, G = gᵀ x
    g   T × d_out      the gradient of the layer's output, a row a token
    x   T × d_in       the layer's input
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sparsegrad_shared.framing import Frame, RawTensor

from .plan import dtype_name

Send = Literal["auto", "dense", "factored", "sums"]
Factors = tuple[Float[Tensor, "tokens d_out"], Float[Tensor, "tokens d_in"]]


def gather_factors(calls: Sequence[tuple[Tensor, Tensor]], dtype: torch.dtype) -> Factors:
    """The factors (g, x) of a layer that was called once or more in a step.

    Rows where g or x is zero throughout (padding, most of all) add nothing to gᵀ x and are left
    out; one row stays, so that there is always something to send.
    """
    g = torch.cat([g.reshape(-1, g.shape[-1]) for g, _ in calls]).to(dtype)
    x = torch.cat([x.reshape(-1, x.shape[-1]) for _, x in calls]).to(dtype)
    rows = (g.any(dim=1) & x.any(dim=1)).nonzero().flatten()
    if len(rows) == 0:
        rows = rows.new_zeros(1)
    return (g, x) if len(rows) == len(g) else (g[rows], x[rows])


def factors_are_smaller(tokens: int, d_out: int, d_in: int) -> bool:
    """Whether T (d_in + d_out) < d_in d_out: the factors are exact and take fewer bytes."""
    return tokens * (d_in + d_out) < d_in * d_out


def dense_frame(G: Float[Tensor, "d_out d_in"]) -> Frame:
    """A gradient as it is."""
    return Frame({"G": raw_tensor(G)})


def factored_frame(factors: Factors) -> Frame:
    """A gradient by its factors."""
    g, x = factors
    return Frame({"g": raw_tensor(g), "x": raw_tensor(x)})


def zero_frame(d_out: int, d_in: int, dtype: torch.dtype, send: Send) -> Frame:
    """The gradient of a layer that no token reached."""
    if send == "dense":
        return dense_frame(torch.zeros(d_out, d_in, dtype=dtype))
    return factored_frame((torch.zeros(1, d_out, dtype=dtype), torch.zeros(1, d_in, dtype=dtype)))


def raw_tensor(tensor: Tensor) -> RawTensor:
    """A tensor as its bytes; no copy when it is contiguous and in main memory."""
    data = tensor.detach().cpu().contiguous()
    return RawTensor(dtype_name(data.dtype), tuple(data.shape), data.view(torch.uint8).numpy().data)
