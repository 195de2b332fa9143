"""Leading eigenvectors of a Gram matrix, all of them by LAPACK or a few by subspace iteration."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from sparsegrad_shared.errors import InvalidInput, NonFiniteGradient, ShapeMismatch

from .arrays import Float64Array
from .lapack import eigh
from .panels import PANEL_ROWS, panels

# LAPACK counts in 32 bits. Larger matrices than syevd's own limit have never been tried.
EIGH_LARGEST = 32_766
SUBSPACE_SMALLEST = 2048  # below, eigh takes about a second at most
SUBSPACE_SHARE = 32  # for rank ≤ n / 32 the iteration was 1.8 to 8 times faster, slower at n / 16

OVERSAMPLING = 16  # columns beyond `rank`, so that the last wanted one converges
FILTER_DEGREE = 8  # at most, of the Chebyshev filter between two Rayleigh-Ritz steps
FILTER_GROWTH = 1e8  # at most; more would drown the smaller wanted directions in round-off
RESIDUAL = 1e-12  # ‖Av - λv‖ relative to the largest λ; eigh gives some 1e-14
MOST_STEPS = 30


class Eigenpairs(NamedTuple):
    """Eigenvalues, r, falling, and their eigenvectors, D × r, in the same order; float64."""

    values: Float64Array
    vectors: Float64Array


def choose_solver(size: int, rank: int | None) -> Literal["eigh", "subspace"]:
    """The faster solver for `rank` leading eigenvectors (None: all) of a matrix of that size.

    The crossover is measured; beyond LAPACK's limit there is only one.
    """
    if rank is None or rank + OVERSAMPLING >= size:
        return "eigh"
    if size > EIGH_LARGEST or (size >= SUBSPACE_SMALLEST and rank * SUBSPACE_SHARE <= size):
        return "subspace"
    return "eigh"


def leading_eigenvectors(
    A: Float64Array, rank: int | None = None, energy: float | None = None
) -> Eigenpairs:
    """The leading eigenvectors of a positive semi-definite matrix.

    Each one's sign is fixed: its largest entry by magnitude is positive (of equal ones, the
    first). Eigenvalues that round-off made negative are 0.

    Args:
        A: n × n, symmetric; symmetrised first where it is so only to round-off.
        rank: how many; all when None or more than n.
        energy: the fewest whose eigenvalues sum to this share of the trace; with `rank`, at
            most so many.

    Raises:
        ShapeMismatch: A is not square.
        NonFiniteGradient: A holds NaN or infinity.
        InvalidInput: `rank` or `energy` is out of range, or n is too large without `rank`.
    """
    if A.ndim != 2 or A.shape[0] != A.shape[1]:
        raise ShapeMismatch(f"expected a square matrix, got shape {A.shape}")
    if rank is not None and rank < 1:
        raise InvalidInput(f"rank: expected at least 1, got {rank}")
    if energy is not None and not 0 < energy <= 1:
        raise InvalidInput(f"energy: expected a share above 0 and at most 1, got {energy}")
    if not np.isfinite(A.sum()):
        raise NonFiniteGradient("expected a finite Gram matrix, got NaN or infinity")
    symmetric = A if _is_symmetric(A) else (A + A.T) / 2
    pairs = _solve(symmetric.astype(np.float64, copy=False), rank)
    kept = _columns_for(pairs.values, energy, float(symmetric.trace()))
    return Eigenpairs(pairs.values[:kept].copy(), with_fixed_signs(pairs.vectors[:, :kept]))


def with_fixed_signs(vectors: Float64Array) -> Float64Array:
    """Each column (D × r) turned so that its largest entry by magnitude is positive."""
    largest = np.abs(vectors.T).argmax(axis=1)  # LAPACK's columns lie in a row each
    signs = np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)
    turned: Float64Array = vectors * signs  # in the order that `vectors` lies in
    return turned


def _is_symmetric(A: Float64Array) -> bool:
    # Panel by panel, since a whole transpose is read across the cache's lines.
    return all(
        np.array_equal(
            A[start : start + PANEL_ROWS, start:], A[start:, start : start + PANEL_ROWS].T
        )
        for start in panels(len(A))
    )


def _solve(A: Float64Array, rank: int | None) -> Eigenpairs:
    if rank is not None and choose_solver(len(A), rank) == "subspace":
        pairs = subspace_iteration(A, rank)
        if pairs is not None:
            return pairs
    if len(A) > EIGH_LARGEST:
        raise InvalidInput(
            f"expected a matrix of at most {EIGH_LARGEST} rows to solve whole, got {len(A)}; "
            "ask for a rank well under that"
        )
    # Lines of the copy lie as those of A do: a plain copy.
    values, vectors = eigh(np.array(A.T, order="F"), rank)
    return Eigenpairs(np.maximum(values[::-1], 0.0)[:rank], vectors[:, ::-1])


def subspace_iteration(A: Float64Array, rank: int) -> Eigenpairs | None:
    """The `rank` leading eigenpairs by Chebyshev-filtered subspace iteration.

    Zhou et al., J. Comput. Phys. 219 (2006), section 3: each step damps the eigenvalues between
    0 and the block's smallest Ritz value, then takes the Rayleigh-Ritz pairs of the block. The
    start is the same at every call.

    Args:
        A: n × n, symmetric, positive semi-definite, n > rank + OVERSAMPLING.
        rank: how many; signs are left as they come.

    Returns:
        The pairs, each with ‖Av - λv‖ ≤ RESIDUAL · λ₁; None if they did not converge.
    """
    start = np.random.default_rng(0).standard_normal((len(A), rank + OVERSAMPLING))
    block = np.linalg.qr(A @ start).Q
    for _ in range(MOST_STEPS):
        image = A @ block
        small = block.T @ image
        values, rotation = np.linalg.eigh((small + small.T) / 2)
        values, rotation = values[::-1], rotation[:, ::-1]
        block, image = block @ rotation, image @ rotation
        residuals = np.linalg.norm(image[:, :rank] - block[:, :rank] * values[:rank], axis=0)
        if residuals.max() <= RESIDUAL * values[0]:
            return Eigenpairs(np.maximum(values[:rank], 0.0), block[:, :rank])
        block = np.linalg.qr(_filtered(A, block, image, float(values[-1]), float(values[0]))).Q
    return None


def _filtered(
    A: Float64Array, block: Float64Array, image: Float64Array, bound: float, largest: float
) -> Float64Array:
    """p(A) block, p a Chebyshev polynomial: small on [0, bound], growing above, p(largest) = 1.

    The scaling at `largest` keeps the recurrence from overflowing (Zhou et al., equation 3.6).
    """
    half = max(bound / 2, np.finfo(np.float64).eps * largest)
    growth = float(np.arccosh(max(largest / half - 1, 1.0)))  # log of p's ratio, a degree
    degree = int(np.clip(np.log(FILTER_GROWTH) / max(growth, 0.1), 1, FILTER_DEGREE))
    ratio = first = half / (largest - half)
    previous, current = block, (image - half * block) * (ratio / half)
    for _ in range(degree - 1):
        following = 1 / (2 / first - ratio)
        step = (A @ current - half * current) * (2 * following / half)
        previous, current = current, step - (ratio * following) * previous
        ratio = following
    return current


def _columns_for(values: Float64Array, energy: float | None, trace: float) -> int:
    """How many leading eigenvalues hold that share of the trace; all when None."""
    if energy is None:
        return len(values)
    reached = np.cumsum(values) >= energy * trace * (1 - len(values) * np.finfo(np.float64).eps)
    return int(reached.argmax()) + 1 if reached.any() else len(values)
