"""Checked, exactly scaled gradients: what the sums and the report work on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsegrad_shared.errors import NonFiniteGradient, ShapeMismatch

FloatArray = NDArray[np.floating[Any]]
Float64Array = NDArray[np.float64]

GRADIENT_DTYPES = ("float16", "bfloat16", "float32", "float64")


# Arrays whose largest entry is of such a size are left as they are: a product of three of them,
# summed over a million entries, neither overflows nor loses what is not lost to rounding anyway.
_LEAST_EXPONENT, _GREATEST_EXPONENT = -28, 16


class Scaled(NamedTuple):
    """`values * 2**exponent` is the array; |values| are neither too large nor too small to square.

    Their largest lies in [2**-29, 2**16), or is 0.
    """

    values: FloatArray
    exponent: int


def working_precision(array: NDArray[Any], name: str) -> FloatArray:
    """The array in the precision that its products are taken in.

    Args:
        array: of any of `GRADIENT_DTYPES`; bfloat16 as `ml_dtypes.bfloat16`.
        name: what to call it in an error.

    Returns:
        float64 for float64, else float32; the same array where it has that already.

    Raises:
        ShapeMismatch: it has another data type.
    """
    dtype = np.asarray(array).dtype.name
    if dtype not in GRADIENT_DTYPES:
        expected = ", ".join(GRADIENT_DTYPES)
        raise ShapeMismatch(f"{name}: expected one of {expected}, got {dtype}; convert it first")
    return np.asarray(array).astype(np.float64 if dtype == "float64" else np.float32, copy=False)


def scaled(array: NDArray[Any], shape: tuple[int, ...], name: str) -> Scaled:
    """A finite array; a very small or large one brought near 1 by a power of two, exactly.

    The square of a very small gradient would underflow in float32, that of a large one overflow.

    Args:
        array: of any of `GRADIENT_DTYPES`.
        shape: the shape that it must have.
        name: what to call it in an error.

    Raises:
        ShapeMismatch: it has another shape or data type.
        NonFiniteGradient: it holds NaN or infinity.
    """
    if np.shape(array) != shape:
        raise ShapeMismatch(f"{name}: expected shape {shape}, got {np.shape(array)}")
    values = working_precision(array, name)
    largest = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    if not np.isfinite(largest):  # NaN is the largest and the least of whatever holds it
        raise NonFiniteGradient(f"{name}: expected finite values, got NaN or infinity")
    exponent = int(np.frexp(largest)[1])
    if _LEAST_EXPONENT <= exponent <= _GREATEST_EXPONENT:
        return Scaled(values, 0)
    return Scaled(np.ldexp(values, -exponent), exponent)


def weight_of(scaled_energy: float, exponent: int) -> float:
    """4**exponent: ‖array‖² is so many times that of what `scaled` made of it.

    Args:
        scaled_energy: ‖values‖², where `values` are the scaled ones.
        exponent: theirs.

    Raises:
        NonFiniteGradient: ‖array‖² is not finite.
    """
    with np.errstate(over="ignore"):
        weight = float(np.ldexp(1.0, 2 * exponent))
    if scaled_energy > 0 and not np.isfinite(weight * scaled_energy):
        raise NonFiniteGradient("expected a gradient of finite norm, got one whose ‖G‖² is not")
    return weight


def squared_norm(array: FloatArray) -> float:
    """‖array‖² of a matrix: rows in its own precision, their sum in float64."""
    return float(np.vecdot(array, array).sum(dtype=np.float64))
