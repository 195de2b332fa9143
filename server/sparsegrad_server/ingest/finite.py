"""Looking at every entry of a tensor, in blocks, by its bits.

The bits tell NaN, infinity and zero apart in every data type alike, bfloat16 included, without a
copy in a wider one. A block at a time keeps memory flat however large the tensor is, and the
block in a core's cache.

Without its sign, a larger number has larger bits, and infinity and NaN have the largest. So a
block's largest tells whether any entry is not finite, and whether all are zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsegrad_shared.framing import DType

BLOCK = 1 << 17  # entries

Bits = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class _Format:
    """How a data type lays out its bits: all exponent bits set is NaN or infinity (IEEE 754)."""

    unsigned: np.dtype[Any]
    exponent: int
    magnitude: int  # everything but the sign


_FORMATS: Mapping[DType, _Format] = {
    "float64": _Format(np.dtype("<u8"), 0x7FF0_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF),
    "float32": _Format(np.dtype("<u4"), 0x7F80_0000, 0x7FFF_FFFF),
    "float16": _Format(np.dtype("<u2"), 0x7C00, 0x7FFF),
    "bfloat16": _Format(np.dtype("<u2"), 0x7F80, 0x7FFF),
}


@dataclass(frozen=True)
class Content:
    """What a tensor holds.

    Attributes:
        nan_or_infinite: entries that are NaN or infinite.
        zero: whether every entry is zero, of either sign.
    """

    nan_or_infinite: int
    zero: bool


def inspect(array: npt.NDArray[Any], dtype: DType) -> Content:
    """Look at every entry of a contiguous array."""
    layout = _FORMATS[dtype]
    exponent = layout.unsigned.type(layout.exponent)
    magnitude = layout.unsigned.type(layout.magnitude)
    bad, zero = 0, True
    for bits in _blocks(array.view(layout.unsigned).reshape(-1)):
        sizes = bits & magnitude
        largest = sizes.max()
        zero = zero and largest == 0
        if largest >= exponent:
            bad += int(np.count_nonzero(sizes >= exponent))
    return Content(bad, bool(zero))


def _blocks(bits: Bits) -> Iterator[Bits]:
    for begin in range(0, len(bits), BLOCK):
        yield bits[begin : begin + BLOCK]
