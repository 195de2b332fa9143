"""Whether Gram matrices that were summed elsewhere can be what they are said to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsegrad_shared.calibrations import Normalization
from sparsegrad_shared.errors import InvalidInput, NonFiniteGradient, ShapeMismatch

from .arrays import FloatArray, working_precision
from .panels import PANEL_ROWS, panels

TOLERANCE = 1e-3  # relative; a sum of TF32 products on a GPU is no more symmetric than this


@dataclass(frozen=True)
class CheckedSums:
    """The Gram matrices of one set of gradients, as far as they tell.

    Attributes:
        A_in: D_in × D_in.
        A_out: D_out × D_out.
        energy: the trace of A_in.
    """

    A_in: FloatArray
    A_out: FloatArray
    energy: float


def checked_sums(
    A_in: NDArray[Any],
    A_out: NDArray[Any],
    shape: tuple[int, int],
    *,
    count: int,
    normalize: Normalization,
) -> CheckedSums:
    """Hold two matrices to be the Gram matrices of one set of gradients.

    Args:
        A_in: D_in × D_in.
        A_out: D_out × D_out.
        shape: D_out and D_in.
        count: non-zero gradients in them.
        normalize: "frobenius" when each of them was scaled to norm 1.

    Raises:
        ShapeMismatch: a matrix has another shape or data type.
        NonFiniteGradient: a matrix holds NaN or infinity.
        InvalidInput: they cannot be the Gram matrices of one set of `count` gradients.
    """
    d_out, d_in = shape
    sum_in, sum_out = _checked_sum(A_in, d_in, "A_in"), _checked_sum(A_out, d_out, "A_out")
    energy = _trace(sum_in)
    _check_traces(energy, _trace(sum_out), count, normalize)
    return CheckedSums(sum_in, sum_out, energy)


def _trace(matrix: FloatArray) -> float:
    return float(np.trace(matrix, dtype=np.float64))


def _check_traces(
    energy_in: float, energy_out: float, count: int, normalize: Normalization
) -> None:
    if abs(energy_in - energy_out) > TOLERANCE * max(energy_in, energy_out):
        raise InvalidInput(
            f"expected equal traces, as both are Σ‖G‖²; A_in has {energy_in:.6g}, "
            f"A_out {energy_out:.6g}: are they of the same gradients?"
        )
    if (count == 0) != (energy_in <= 0):
        raise InvalidInput(
            f"expected a zero sum with no gradients and only then; got trace {energy_in:.6g} "
            f"with count {count}"
        )
    if normalize == "frobenius" and abs(energy_in - count) > TOLERANCE * count:
        raise InvalidInput(
            f"expected a trace of {count}, one a gradient of norm 1; got {energy_in:.6g}: "
            "normalise each gradient before it is summed"
        )


def _checked_sum(matrix: NDArray[Any], size: int, name: str) -> FloatArray:
    """A matrix that can be a Gram matrix, as far as its symmetry and diagonal tell."""
    if np.shape(matrix) != (size, size):
        raise ShapeMismatch(f"{name}: expected shape {(size, size)}, got {np.shape(matrix)}")
    values = working_precision(matrix, name)
    if not np.isfinite(np.vecdot(values, values, dtype=np.float64).sum()):
        raise NonFiniteGradient(f"{name}: expected finite values, got NaN or infinity")
    largest = float(np.diagonal(values).max(initial=0.0))
    skew = max(
        float(np.abs(values[s : s + PANEL_ROWS] - values[:, s : s + PANEL_ROWS].T).max())
        for s in panels(size)
    )
    if skew > TOLERANCE * largest or np.diagonal(values).min() < -TOLERANCE * largest:
        raise InvalidInput(
            f"{name}: expected a Gram matrix, symmetric with a diagonal of 0 or more; got an "
            f"asymmetry of {skew:.3g} with a largest diagonal entry of {largest:.3g}"
        )
    return values
