"""The sums of a rank's gradients: the Gram matrices of many, in place of the gradients.

Layout::

    G      d_out × d_in    one gradient
    A_in   d_in × d_in     Σ GᵀG, float64 while it grows
    A_out  d_out × d_out   Σ GGᵀ, float64 while it grows

A product is taken in the gradient's precision (float32 for half types), of G scaled by a power of
two, so that gradients however small or large neither vanish nor overflow in it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sparsegrad_shared.calibrations import Normalization
from sparsegrad_shared.framing import Frame

from .frames import raw_tensor

# Sums whose trace lies between these keep their float32 digits when they are sent as float32.
_FLOAT32_RANGE = (1e-25, 1e35)
_LARGEST_SHIFT = 120  # powers of two by which float32 can be scaled at once


class GramSums:
    """A_in and A_out of the gradients of one group, on one rank.

    Args:
        d_out: rows of each gradient.
        d_in: columns of each gradient.
        device: where the sums grow; the CPU where the device has no float64.
        normalize: ``"frobenius"`` scales each gradient to norm 1.
    """

    def __init__(
        self,
        d_out: int,
        d_in: int,
        device: torch.device,
        normalize: Normalization = "none",
    ) -> None:
        self._normalize = normalize
        self._dtype = torch.float32
        place = torch.device("cpu") if device.type == "mps" else device
        self._in: Float64[Tensor, "d_in d_in"]
        self._in = torch.zeros(d_in, d_in, dtype=torch.float64, device=place)
        self._out: Float64[Tensor, "d_out d_out"]
        self._out = torch.zeros(d_out, d_out, dtype=torch.float64, device=place)
        self._count = 0
        self._zero_count = 0

    def add(self, G: Float[Tensor, "d_out d_in"]) -> None:
        """Add a finite gradient."""
        values = G if G.dtype == torch.float64 else G.float()
        largest = values.abs().max()
        if largest == 0:
            self.add_zero()
            return
        exponent = int(torch.frexp(largest).exponent)
        exponent = min(max(exponent, -_LARGEST_SHIFT), _LARGEST_SHIFT)
        values = values * 2.0**-exponent
        if self._normalize == "frobenius":
            weight = 1.0 / float(values.double().square().sum())
        else:
            weight = 2.0 ** (2 * exponent)
        self._in.add_((values.t() @ values).to(self._in), alpha=weight)
        self._out.add_((values @ values.t()).to(self._out), alpha=weight)
        self._count += 1
        self._dtype = values.dtype

    def add_zero(self) -> None:
        """Count a gradient that is zero throughout."""
        self._zero_count += 1

    def frame(self) -> Frame:
        """The sums as they are sent: float32, unless the gradients or their size ask for more."""
        low, high = _FLOAT32_RANGE
        fits = self._count == 0 or low < float(self._in.trace()) < high
        dtype = self._dtype if fits else torch.float64
        counts = {"count": self._count + self._zero_count, "zero_count": self._zero_count}
        return Frame(
            {"A_in": raw_tensor(self._in.to(dtype)), "A_out": raw_tensor(self._out.to(dtype))},
            {name: str(count) for name, count in counts.items()},
        )
