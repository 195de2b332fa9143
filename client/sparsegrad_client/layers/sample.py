"""A few entries of a plain weight, by which to tell one pre-trained model from another.

Layout::

    sample  at most 16, the weight's type   entries of W at evenly spread places, row-major

A digest of the whole weights would take seconds for a large model and would differ for one model
in two data types. Whatever trained or merged a weight has changed nearly all of its entries, so a
few of them tell as much.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from .plain import PlainLayer

_ENTRIES = 16
_SMALLEST = 1e-7  # what float16 rounds to zero


def sample_of(plain: PlainLayer) -> Float[Tensor, " n"] | None:
    """A sample of a layer's weight; None when it is quantised, and its entries are not there."""
    if plain.layout is None:
        return None
    W = plain.layout.view(plain.weight.detach())
    count = min(_ENTRIES, W.numel())
    places = torch.arange(count, device=W.device) * (W.numel() // count)
    return W[places // W.shape[1], places % W.shape[1]].cpu()


def may_be_same(first: Float[Tensor, " n"], second: Float[Tensor, " n"]) -> bool:
    """Whether two samples can be of one weight, in two data types perhaps."""
    if first.dtype == second.dtype:
        return torch.equal(first, second)
    coarser = max(torch.finfo(sample.dtype).eps for sample in (first, second))
    return first.shape == second.shape and torch.allclose(
        first.double(), second.double(), rtol=coarser, atol=_SMALLEST
    )
