"""How good a basis is on gradients that it was not fitted on (`method.md`, end of section 1).

Every share is of Σ‖G‖² in the original space, over all held-out gradients together: what lies
outside a truncated basis counts as lost. "The largest entries" are the k = density · D_out · D_in
largest by magnitude, in either space, so that both are judged at the same number of values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsegrad_shared.errors import InvalidInput, ShapeMismatch
from sparsegrad_shared.report import (
    BlockEnergy,
    GradientSample,
    GroupReport,
    Spectrum,
    TopEntries,
)

from .arrays import FloatArray, scaled, squared_norm, weight_of
from .largest import Largest, Mask
from .sample import sampled

PAPER_DENSITY = 0.01
DEFAULT_BLOCKS = ((64, 32), (128, 64), (192, 96))  # rows × columns, `method.md` section 3


class HeldOutReport:
    """A basis, judged gradient by gradient.

    Products are taken in the basis's precision: float32 columns for speed, float64 for tests.

    Args:
        U: D_in × r_in, orthonormal columns.
        V: D_out × r_out, orthonormal columns.
        density: share of all D_out · D_in entries that count as the largest.
        blocks: leading rows × columns of G̃ to report on; capped to what the basis has.
        support: r_out × r_in, the entries that `frozen_support` chose; None leaves it out.

    Raises:
        InvalidInput: the density is not above 0 and at most 1.
        ShapeMismatch: the support is not r_out × r_in.
    """

    def __init__(
        self,
        U: FloatArray,
        V: FloatArray,
        *,
        density: float = PAPER_DENSITY,
        blocks: Sequence[tuple[int, int]] = DEFAULT_BLOCKS,
        support: Mask | None = None,
    ) -> None:
        self._U, self._V = U, V
        self._density = density
        self._kept = kept_entries(len(V), len(U), density)
        ranks = (V.shape[1], U.shape[1])
        if support is not None and support.shape != ranks:
            raise ShapeMismatch(f"support: expected shape {ranks}, got {support.shape}")
        self._support = support
        capped = ((min(rows, ranks[0]), min(columns, ranks[1])) for rows, columns in blocks)
        self._blocks = dict.fromkeys(capped, 0.0)
        self._count = 0
        self._energy = 0.0
        self._in_support = 0.0
        self._basis = _Touched()
        self._original = _Touched()
        self._sample: GradientSample | None = None

    def add(self, G: NDArray[Any]) -> None:
        """Judge the basis on one more gradient, D_out × D_in; a zero one says nothing.

        Raises:
            ShapeMismatch: it has another shape or data type.
            NonFiniteGradient: it holds NaN or infinity, or its ‖G‖² is not finite.
        """
        values, exponent = scaled(G, (len(self._V), len(self._U)), "G")
        energy = squared_norm(values)
        weight = weight_of(energy, exponent)
        if weight * energy == 0:  # zero, or so small that its square is
            return
        original = np.square(values)
        entries = np.square(in_basis(values, self._U, self._V))
        self._count += 1
        self._energy += weight * energy
        top, top_in_basis = Largest(original, self._kept), Largest(entries, self._kept)
        self._original = self._original.plus(top, weight)
        self._basis = self._basis.plus(top_in_basis, weight)
        if self._sample is None:
            self._sample = GradientSample(
                original=sampled(original, energy, top),
                basis=sampled(entries, energy, top_in_basis),
            )
        for rows, columns in self._blocks:
            held = float(entries[:rows, :columns].sum(dtype=np.float64))
            self._blocks[rows, columns] += weight * held
        if self._support is not None:
            self._in_support += weight * float(entries[self._support].sum(dtype=np.float64))

    def report(self, name: str, spectrum_in: Spectrum, spectrum_out: Spectrum) -> GroupReport:
        """The figures so far, for the group of that name."""
        judged = self._count > 0
        blocks = [
            BlockEnergy(rows=rows, columns=columns, energy=self._share(held))
            for (rows, columns), held in self._blocks.items()
        ]
        known_support = judged and self._support is not None
        return GroupReport(
            name=name,
            held_out=self._count,
            density=self._density,
            basis=self._top(self._basis) if judged else None,
            original=self._top(self._original) if judged else None,
            blocks=tuple(blocks) if judged else (),
            frozen_support=self._share(self._in_support) if known_support else None,
            spectrum_in=spectrum_in,
            spectrum_out=spectrum_out,
            sample=self._sample,
        )

    def _share(self, held: float) -> float:
        return min(held / self._energy, 1.0) if self._count else 0.0

    def _top(self, touched: _Touched) -> TopEntries:
        return TopEntries(
            energy=self._share(touched.energy),
            rows=touched.rows / self._count,
            columns=touched.columns / self._count,
        )


def kept_entries(d_out: int, d_in: int, density: float) -> int:
    """k, the entries that a density stands for; at least 1.

    Raises:
        InvalidInput: the density is not above 0 and at most 1.
    """
    if not 0 < density <= 1:
        raise InvalidInput(f"density: expected a share above 0 and at most 1, got {density}")
    return max(1, round(density * (d_out * d_in)))


def in_basis(G: FloatArray, U: FloatArray, V: FloatArray) -> FloatArray:
    """G̃ = VᵀGU, r_out × r_in, in the basis's precision, by the cheaper order."""
    rotated: FloatArray = np.linalg.multi_dot([V.T, G.astype(U.dtype, copy=False), U])
    return rotated


def frozen_support(
    gradients: Iterable[NDArray[Any]],
    U: FloatArray,
    V: FloatArray,
    *,
    density: float = PAPER_DENSITY,
) -> Mask:
    """The entries of G̃ with the most energy over a sample of the fitted gradients.

    Args:
        gradients: D_out × D_in each; a few of those that the basis was fitted on.
        U: D_in × r_in, orthonormal columns.
        V: D_out × r_out, orthonormal columns.
        density: share of all D_out · D_in entries to choose.

    Returns:
        r_out × r_in, True at the chosen entries; exactly k of them where the basis has as many.

    Raises:
        ShapeMismatch: a gradient has another shape or data type.
        NonFiniteGradient: a gradient holds NaN or infinity.
        InvalidInput: the density is not above 0 and at most 1.
    """
    energy = np.zeros((V.shape[1], U.shape[1]))
    for G in gradients:
        values, exponent = scaled(G, (len(V), len(U)), "G")
        energy += float(np.ldexp(1.0, 2 * exponent)) * np.square(in_basis(values, U, V))
    kept = min(kept_entries(len(V), len(U), density), energy.size)
    support = np.zeros(energy.size, dtype=np.bool_)
    support[np.argpartition(energy.ravel(), energy.size - kept)[energy.size - kept :]] = True
    return support.reshape(energy.shape)


class _Touched(NamedTuple):
    """The largest entries' energy, and the rows and columns they lie in, summed."""

    energy: float = 0.0
    rows: int = 0
    columns: int = 0

    def plus(self, largest: Largest, weight: float) -> _Touched:
        return _Touched(
            self.energy + weight * largest.energy,
            self.rows + largest.rows,
            self.columns + largest.columns,
        )
