"""The picture of a held-out gradient, against the plain way to bin it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hosvd import make_gradients, sum_up

from sparsegrad_server.hosvd import HeldOutReport, compute_basis, spectrum_summary
from sparsegrad_server.hosvd.arrays import Float64Array
from sparsegrad_server.hosvd.largest import Largest
from sparsegrad_server.hosvd.sample import binned
from sparsegrad_shared.report import GradientSample, SampledMatrix, bin_edges

SPECTRUM = spectrum_summary(np.array([2.0, 1.0]), energy=3.0, dimension=2)
HALF_A_LEVEL = 10 ** (0.5 / 20)
LEAST = 10 ** (-253.5 / 20)  # shares below it are level 0
seeds = st.integers(0, 2**32 - 1)
extents = st.one_of(st.integers(1, 20), st.integers(60, 150))


def sample_of(
    gradients: list[Float64Array], U: Float64Array, V: Float64Array, density: float = 0.01
) -> GradientSample | None:
    judged = HeldOutReport(U, V, density=density)
    for G in gradients:
        judged.add(G)
    return judged.report("up", SPECTRUM, SPECTRUM).sample


def binned_plainly(values: Float64Array) -> Float64Array:
    """The sums over bins, a bin after another."""
    down, across = (bin_edges(extent) for extent in values.shape)
    sums = np.zeros((len(down) - 1, len(across) - 1))
    for i, j in np.ndindex(*sums.shape):
        sums[i, j] = values[down[i] : down[i + 1], across[j] : across[j + 1]].sum()
    return sums


@given(seeds, extents, extents)
def test_bins_hold_what_they_plainly_hold(seed: int, rows: int, columns: int) -> None:
    values = np.random.default_rng(seed).standard_normal((rows, columns)) ** 2
    np.testing.assert_allclose(binned(values), binned_plainly(values))
    assert binned(values).shape == (min(rows, 64), min(columns, 64))


def assert_pictures(found: SampledMatrix, entries: Float64Array, norm: float, kept: int) -> None:
    """Hold a picture to the entries that it is of."""
    squares = entries**2
    expected = binned_plainly(squares) / norm
    shares = np.array(found.shares())
    assert (found.rows, found.columns) == entries.shape
    assert shares.shape == expected.shape
    seen = expected > LEAST
    ratio = shares[seen] / expected[seen]
    assert (ratio <= HALF_A_LEVEL * (1 + 1e-9)).all()
    assert (ratio >= (1 - 1e-9) / HALF_A_LEVEL).all()
    assert (shares[~seen] <= LEAST * HALF_A_LEVEL).all()
    assert found.energy == pytest.approx(squares.sum() / norm)
    top = squares >= np.sort(squares.ravel())[::-1][:kept].min()
    assert found.top_by_rows == tuple(binned_plainly(top.astype(float)).sum(axis=1))
    assert found.top_by_columns == tuple(binned_plainly(top.astype(float)).sum(axis=0))
    assert (found.top.rows, found.top.columns) == (top.any(axis=1).sum(), top.any(axis=0).sum())
    assert found.top.energy == pytest.approx(squares[top].sum() / norm)


@given(seeds, st.integers(2, 90), st.integers(2, 90), st.integers(1, 100))
def test_both_pictures_are_of_the_first_gradient_that_is_not_zero(
    seed: int, d_out: int, d_in: int, rank: int
) -> None:
    fitted, G, later = make_gradients(seed, 3, d_out, d_in)
    basis = compute_basis(sum_up([fitted]), rank=rank)
    found = sample_of([np.zeros_like(G), G, later], basis.U, basis.V, 0.05)
    assert found is not None
    norm, kept = float(np.sum(G**2)), max(1, round(0.05 * G.size))
    assert_pictures(found.original, G, norm, kept)
    turned = basis.V.T @ G @ basis.U
    assert_pictures(found.basis, turned, norm, min(kept, turned.size))
    assert found.original.energy == pytest.approx(1)
    assert found.basis.energy <= 1


def test_a_full_basis_captures_all_and_a_truncated_one_its_share() -> None:
    G = np.diag([2.0, 1.0, 1.0])
    whole = sample_of([G], np.eye(3), np.eye(3))
    half = sample_of([G], np.eye(3)[:, :1], np.eye(3)[:, :1])
    assert whole is not None
    assert half is not None
    assert whole.original == whole.basis
    assert half.basis.energy == pytest.approx(4 / 6)
    assert (half.basis.rows, half.basis.columns) == (1, 1)


def test_neither_a_tiny_nor_a_huge_gradient_loses_its_picture() -> None:
    G = make_gradients(1, 1, 5, 4)[0].astype(np.float32)
    plain, tiny, huge = (
        sample_of([np.ldexp(G, exponent)], np.eye(4), np.eye(5)) for exponent in (0, -90, 90)
    )
    assert plain == tiny == huge


def test_without_a_gradient_there_is_no_picture() -> None:
    assert sample_of([], np.eye(3), np.eye(3)) is None
    assert sample_of([np.zeros((3, 3))], np.eye(3), np.eye(3)) is None


def test_entries_equal_to_the_smallest_of_the_largest_count_and_zeros_never() -> None:
    largest = Largest(np.array([[4.0, 1.0], [1.0, 0.0]]), 2)
    assert largest.energy == 5
    np.testing.assert_array_equal(largest.touched, [[True, True], [True, False]])
    assert (largest.rows, largest.columns) == (2, 2)
    assert not Largest(np.zeros((2, 2)), 4).touched.any()
