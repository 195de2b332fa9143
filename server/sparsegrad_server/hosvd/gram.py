"""The Gram matrices of one group, summed gradient by gradient.

Products are taken in the gradient's precision (float32 for half types), summed in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sparsegrad_shared.calibrations import Normalization
from sparsegrad_shared.errors import InvalidInput, ShapeMismatch

from .arrays import Float64Array, FloatArray, scaled, squared_norm, weight_of, working_precision
from .panels import add_symmetrized, mirrored
from .sums import checked_sums
from .tiles import Product, add_products, product

NORMALIZATIONS: tuple[Normalization, ...] = get_args(Normalization)


def cheapest_route(tokens: int, d_out: int, d_in: int) -> Literal["dense", "tokens"]:
    """How to get both Gram matrices of G = gᵀx with the fewest multiplications.

    "dense" makes G first; "tokens" takes GᵀG = xᵀ(ggᵀ)x and GGᵀ = gᵀ(xxᵀ)g, which is cheaper
    for few tokens.

    Args:
        tokens: rows of g and of x.
        d_out: columns of g.
        d_in: columns of x.
    """
    dense = tokens * d_out * d_in + d_out * d_in * (d_out + d_in) / 2
    by_tokens = 2 * tokens**2 * (d_out + d_in) + tokens * (d_out**2 + d_in**2) / 2
    return "tokens" if by_tokens < dense else "dense"


def gradient_from_factors(g: NDArray[Any], x: NDArray[Any]) -> FloatArray:
    """G = gᵀx, D_out × D_in, from g (T × D_out) and x (T × D_in); float32 for half types.

    Raises:
        ShapeMismatch: the factors have different counts of tokens, or are not of a known type.
    """
    if np.ndim(g) != 2 or np.ndim(x) != 2 or len(g) != len(x):
        raise ShapeMismatch(
            f"expected g (tokens, d_out) and x (tokens, d_in) with as many tokens, "
            f"got {np.shape(g)} and {np.shape(x)}"
        )
    gradient: FloatArray = working_precision(g, "g").T @ working_precision(x, "x")
    return gradient


class GramMatrices:
    """A_in = Σ GᵀG and A_out = Σ GGᵀ of one group, with what was counted on the way.

    The same gradients in the same order give the same bits on the same machine, also when the
    sum was stored by `to_arrays` and taken up again by `from_arrays` in between. Input that is
    refused leaves the sum as it was.

    Args:
        d_out: rows of each gradient.
        d_in: columns of each gradient.
        normalize: "frobenius" scales each gradient to ‖G‖ = 1; "none" is the paper's way.

    Attributes:
        count: gradients that were not zero throughout.
        zero_count: gradients that were.
        energy: Σ ‖G‖² before normalisation; of sums, the trace that came.
    """

    def __init__(self, d_out: int, d_in: int, *, normalize: Normalization = "none") -> None:
        if d_out < 1 or d_in < 1:
            raise InvalidInput(f"expected extents of at least 1, got {d_out} by {d_in}")
        if normalize not in NORMALIZATIONS:
            raise InvalidInput(f"normalize: expected one of {NORMALIZATIONS}, got {normalize!r}")
        self.d_out = d_out
        self.d_in = d_in
        self.normalize = normalize
        self.count = 0
        self.zero_count = 0
        self.energy = 0.0
        self._in = np.zeros((d_in, d_in))
        self._out = np.zeros((d_out, d_out))

    @property
    def A_in(self) -> Float64Array:  # noqa: N802
        """Σ GᵀG, D_in × D_in, exactly symmetric; a view that the next gradient changes."""
        return mirrored(self._in)

    @property
    def A_out(self) -> Float64Array:  # noqa: N802
        """Σ GGᵀ, D_out × D_out, exactly symmetric; a view that the next gradient changes."""
        return mirrored(self._out)

    def add_dense(self, G: NDArray[Any]) -> None:
        """Add one gradient, D_out × D_in.

        Raises:
            ShapeMismatch: it has another shape or data type.
            NonFiniteGradient: it holds NaN or infinity, or its norm is infinite.
        """
        values, exponent = scaled(G, (self.d_out, self.d_in), "G")
        weight = self._admit(squared_norm(values), exponent)
        if weight:
            add_products(
                Product(self._in, values, values, weight),
                Product(self._out, values.T, values.T, weight),
            )

    def add_factored(self, g: NDArray[Any], x: NDArray[Any]) -> None:
        """Add the gradient gᵀx, by the cheaper way (`cheapest_route`).

        Args:
            g: T × D_out.
            x: T × D_in.

        Raises:
            ShapeMismatch: a factor has another shape or data type.
            NonFiniteGradient: a factor holds NaN or infinity, or the norm is infinite.
        """
        tokens = len(g)
        g_values, g_exponent = scaled(g, (tokens, self.d_out), "g")
        x_values, x_exponent = scaled(x, (tokens, self.d_in), "x")
        exponent = g_exponent + x_exponent
        if cheapest_route(tokens, self.d_out, self.d_in) == "dense":
            values, shift = scaled(product(g_values.T, x_values), (self.d_out, self.d_in), "gᵀx")
            weight = self._admit(squared_norm(values), exponent + shift)
            factors = ((values, values), (values.T, values.T))
        else:
            x_side = product(product(g_values, g_values.T), x_values)
            energy = float(np.vecdot(x_values, x_side).sum(dtype=np.float64))
            weight = self._admit(energy, exponent)
            g_side = product(product(x_values, x_values.T), g_values)
            factors = ((x_values, x_side), (g_values, g_side))
        if weight:
            add_products(
                Product(self._in, *factors[0], weight), Product(self._out, *factors[1], weight)
            )

    def add_sums(
        self, A_in: NDArray[Any], A_out: NDArray[Any], count: int, *, zero_count: int = 0
    ) -> None:
        """Add the Gram matrices of gradients that were summed elsewhere.

        With "frobenius" the gradients must have been normalised there, as sums cannot be.

        Args:
            A_in: D_in × D_in.
            A_out: D_out × D_out.
            count: non-zero gradients in them.
            zero_count: further gradients that were zero throughout.

        Raises:
            ShapeMismatch: a matrix has another shape or data type.
            NonFiniteGradient: a matrix holds NaN or infinity.
            InvalidInput: they cannot be the Gram matrices of one set of `count` gradients.
        """
        if count < 0 or zero_count < 0:
            raise InvalidInput(f"expected counts of 0 or more, got {count} and {zero_count}")
        shape = self.d_out, self.d_in
        sums = checked_sums(A_in, A_out, shape, count=count, normalize=self.normalize)
        add_symmetrized(self._in, sums.A_in)
        add_symmetrized(self._out, sums.A_out)
        self.count += count
        self.zero_count += zero_count
        self.energy += sums.energy

    def merge(self, other: GramMatrices) -> None:
        """Add another partial sum of the same group, as a tree of partial sums needs.

        Raises:
            ShapeMismatch: it is of another shape.
            InvalidInput: it is normalised otherwise.
        """
        if (other.d_out, other.d_in) != (self.d_out, self.d_in):
            raise ShapeMismatch(
                f"expected a sum over gradients of {self.d_out} by {self.d_in}, "
                f"got {other.d_out} by {other.d_in}"
            )
        if other.normalize != self.normalize:
            raise InvalidInput(f"expected normalize={self.normalize!r}, got {other.normalize!r}")
        self._in += other._in
        self._out += other._out
        self.count += other.count
        self.zero_count += other.zero_count
        self.energy += other.energy

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The whole state, exactly, as arrays to store; views, not copies."""
        return {
            "A_in": self.A_in,
            "A_out": self.A_out,
            "counts": np.array([self.count, self.zero_count], dtype=np.int64),
            "energy": np.array([self.energy]),
            "normalize": np.array([NORMALIZATIONS.index(self.normalize)], dtype=np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> GramMatrices:
        """The sum that `to_arrays` stored; going on gives the bits of an uninterrupted sum.

        Raises:
            InvalidInput: an array is missing or is not what `to_arrays` gives.
        """
        expected = {"A_in", "A_out", "counts", "energy", "normalize"}
        if set(arrays) != expected:
            raise InvalidInput(f"expected arrays {sorted(expected)}, got {sorted(arrays)}")
        A_in, A_out = arrays["A_in"], arrays["A_out"]
        for name, matrix in (("A_in", A_in), ("A_out", A_out)):
            if matrix.dtype != np.float64 or matrix.shape != (len(matrix),) * 2:
                raise InvalidInput(
                    f"{name}: expected a square float64 matrix, got {matrix.dtype} {matrix.shape}"
                )
        normalize = NORMALIZATIONS[int(arrays["normalize"][0])]
        sums = cls(len(A_out), len(A_in), normalize=normalize)
        np.copyto(sums._in, A_in)
        np.copyto(sums._out, A_out)
        sums.count, sums.zero_count = (int(count) for count in arrays["counts"])
        sums.energy = float(arrays["energy"][0])
        return sums

    def _admit(self, scaled_energy: float, exponent: int) -> float:
        """Count a gradient of ‖G‖² = scaled_energy · 4**exponent; the weight of its product."""
        scale = weight_of(scaled_energy, exponent)
        if scaled_energy <= 0:
            self.zero_count += 1
            return 0.0
        self.count += 1
        self.energy += scaled_energy * scale
        return 1.0 / scaled_energy if self.normalize == "frobenius" else scale
