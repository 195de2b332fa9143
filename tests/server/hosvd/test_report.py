"""A basis judged on held-out gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hosvd import make_gradients, sum_up

from sparsegrad_server.hosvd import HeldOutReport, compute_basis, frozen_support, spectrum_summary
from sparsegrad_server.hosvd.arrays import Float64Array
from sparsegrad_server.hosvd.report import in_basis
from sparsegrad_shared.errors import InvalidInput, NonFiniteGradient, ShapeMismatch
from sparsegrad_shared.report import GroupReport

SPECTRUM = spectrum_summary(np.array([2.0, 1.0]), energy=3.0, dimension=2)
seeds = st.integers(0, 2**32 - 1)


def judged(
    held_out: Sequence[Float64Array], U: Float64Array, V: Float64Array, **options: Any
) -> GroupReport:
    report = HeldOutReport(U, V, **options)
    for G in held_out:
        report.add(G)
    return report.report("up", SPECTRUM, SPECTRUM)


@given(seeds, st.floats(0.01, 1.0), st.integers(1, 8))
def test_figures_equal_those_of_the_sorted_entries(seed: int, density: float, rank: int) -> None:
    gradients = make_gradients(seed, 6, 5, 8)
    fitted, held_out = gradients[:3], gradients[3:]
    basis = compute_basis(sum_up(fitted), rank=rank)
    support = frozen_support(fitted, basis.U, basis.V, density=density)
    found = judged(held_out, basis.U, basis.V, density=density, blocks=[(2, 3)], support=support)
    kept = max(1, round(density * 40))
    total = sum(np.sum(G**2) for G in held_out)
    turned = [np.square(basis.V.T @ G @ basis.U) for G in held_out]

    def top(squares: list[Float64Array]) -> float:
        return sum(np.sort(S.ravel())[::-1][:kept].sum() for S in squares) / total

    assert found.original.energy == pytest.approx(top([G**2 for G in held_out]))
    assert found.basis.energy == pytest.approx(top(turned))
    assert found.blocks[0].energy == pytest.approx(sum(S[:2, :3].sum() for S in turned) / total)
    assert found.frozen_support == pytest.approx(sum(S[support].sum() for S in turned) / total)
    assert found.frozen_support <= found.basis.energy + 1e-12
    assert 0 <= found.basis.energy <= 1


@given(seeds)
def test_a_full_basis_loses_no_energy(seed: int) -> None:
    gradients = make_gradients(seed, 3, 5, 7)
    basis = compute_basis(sum_up(gradients[:2]))
    turned = in_basis(gradients[2], basis.U, basis.V)
    np.testing.assert_allclose(np.sum(turned**2), np.sum(gradients[2] ** 2))
    whole = judged(gradients[2:], basis.U, basis.V, density=1.0, blocks=[(99, 99)])
    assert whole.basis.energy == pytest.approx(1)
    assert (whole.blocks[0].rows, whole.blocks[0].columns) == (5, 7)
    assert whole.blocks[0].energy == pytest.approx(1)


def test_rows_and_columns_are_those_of_the_largest_entries() -> None:
    G = np.zeros((10, 10))
    G[3, [1, 4, 7]] = [3.0, 2.0, 1.0]
    found = judged([G, 10 * G], np.eye(10), np.eye(10), density=0.02)
    assert (found.original.rows, found.original.columns) == (1, 2)
    assert found.original == found.basis
    assert found.original.energy == pytest.approx(13 / 14)


@given(seeds, st.floats(0.01, 1.0))
def test_the_support_holds_exactly_the_density(seed: int, density: float) -> None:
    gradients = make_gradients(seed, 2, 6, 10)
    support = frozen_support(gradients, np.eye(10), np.eye(6), density=density)
    energy = sum(G**2 for G in gradients)
    assert support.sum() == max(1, round(density * 60))
    assert energy[support].min() >= energy[~support].max(initial=0.0)


def test_zero_gradients_are_not_judged() -> None:
    found = judged([np.zeros((3, 3))], np.eye(3), np.eye(3))
    assert found.held_out == 0
    assert found.basis is None
    assert found.blocks == ()


def test_bad_input_is_refused() -> None:
    with pytest.raises(InvalidInput, match="density"):
        HeldOutReport(np.eye(3), np.eye(3), density=0.0)
    with pytest.raises(ShapeMismatch, match="support"):
        HeldOutReport(np.eye(3), np.eye(3), support=np.ones((2, 3), dtype=bool))
    report = HeldOutReport(np.eye(3), np.eye(3))
    with pytest.raises(NonFiniteGradient):
        report.add(np.full((3, 3), np.nan))
    with pytest.raises(ShapeMismatch):
        report.add(np.ones((2, 3)))


def test_a_gradient_whose_square_is_not_finite_is_refused() -> None:
    report = HeldOutReport(np.eye(3), np.eye(3))
    with pytest.raises(NonFiniteGradient, match="finite norm"):
        report.add(np.full((3, 3), 1e200))


def test_a_gradient_whose_square_is_zero_says_nothing() -> None:
    found = judged([np.full((3, 3), 1e-200)], np.eye(3), np.eye(3))
    assert found.held_out == 0
    assert found.basis is None
