"""Eigenvectors by LAPACK and by iteration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsegrad_server.hosvd import leading_eigenvectors, principal_angles
from sparsegrad_server.hosvd.arrays import Float64Array
from sparsegrad_server.hosvd.eigen import (
    EIGH_LARGEST,
    RESIDUAL,
    choose_solver,
    subspace_iteration,
)
from sparsegrad_shared.errors import InvalidInput, NonFiniteGradient, ShapeMismatch

seeds = st.integers(0, 2**32 - 1)


def with_spectrum(spectrum: Float64Array, seed: int = 0) -> tuple[Float64Array, Float64Array]:
    size = len(spectrum)
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size))).Q
    return (Q * spectrum) @ Q.T, Q


@given(seeds, st.integers(1, 20))
def test_eigenvectors_are_orthonormal_and_rebuild_the_matrix(seed: int, size: int) -> None:
    A, _ = with_spectrum(np.random.default_rng(seed).exponential(size=size), seed)
    values, vectors = leading_eigenvectors(A)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(size), atol=1e-12)
    single = vectors.astype(np.float32)
    np.testing.assert_allclose(single.T @ single, np.eye(size), atol=1e-5)
    np.testing.assert_allclose((vectors * values) @ vectors.T, A, atol=1e-12 * values[0])
    assert (np.diff(values) <= 0).all()
    assert (values >= 0).all()


@given(seeds, st.integers(1, 20))
def test_the_largest_entry_of_each_eigenvector_is_positive(seed: int, size: int) -> None:
    A, _ = with_spectrum(np.arange(size, 0.0, -1.0), seed)
    vectors = leading_eigenvectors(A).vectors
    largest = np.abs(vectors).argmax(axis=0)
    assert (vectors[largest, np.arange(size)] > 0).all()


def test_round_off_below_zero_is_clipped() -> None:
    column = np.arange(1.0, 30.0)[:, None]
    assert (leading_eigenvectors(column @ column.T).values >= 0).all()


@given(seeds, st.integers(2, 20), st.data())
def test_truncated_is_the_head_of_the_full(seed: int, size: int, data: st.DataObject) -> None:
    A, _ = with_spectrum(0.6 ** np.arange(size), seed)
    rank = data.draw(st.integers(1, size + 3))
    full, cut = leading_eigenvectors(A), leading_eigenvectors(A, rank=rank)
    assert cut.vectors.shape == (size, min(rank, size))
    np.testing.assert_array_equal(cut.values, full.values[:rank])
    # The reflectors are applied to fewer columns: on some processors BLAS takes another kernel
    # for those, which adds in another order.
    np.testing.assert_allclose(cut.vectors, full.vectors[:, :rank], rtol=0, atol=1e-14)


@given(seeds, st.integers(1, 20), st.floats(0.01, 1.0))
def test_energy_keeps_the_fewest_columns_that_hold_it(seed: int, size: int, energy: float) -> None:
    spectrum = np.sort(np.random.default_rng(seed).exponential(size=size))[::-1]
    kept = leading_eigenvectors(with_spectrum(spectrum, seed)[0], energy=energy).values
    target = energy * spectrum.sum()
    assert spectrum[: len(kept)].sum() >= target * (1 - 1e-12)
    assert spectrum[: len(kept) - 1].sum() < target * (1 + 1e-12)


@settings(max_examples=15)
@given(seeds, st.integers(1, 20), st.sampled_from([0.5, 1.0, 2.0, 4.0]))
def test_subspace_iteration_finds_what_eigh_finds(seed: int, rank: int, decay: float) -> None:
    spectrum = np.arange(1, 161.0) ** -decay
    A, Q = with_spectrum(spectrum, seed)
    pairs = subspace_iteration(A, rank)
    assert pairs is not None
    np.testing.assert_allclose(pairs.values, spectrum[:rank], atol=1e-12)
    gap = spectrum[rank - 1] - spectrum[rank]
    assert principal_angles(pairs.vectors, Q[:, :rank]).max() < 2 * rank * RESIDUAL / gap + 1e-12
    np.testing.assert_allclose(pairs.vectors.T @ pairs.vectors, np.eye(rank), atol=1e-12)


def test_subspace_iteration_takes_a_matrix_of_lower_rank_than_asked() -> None:
    A, _ = with_spectrum(np.r_[[3.0, 2.0], np.zeros(98)])
    pairs = subspace_iteration(A, 5)
    assert pairs is not None
    np.testing.assert_allclose(pairs.values, [3, 2, 0, 0, 0], atol=1e-12)


def test_a_matrix_that_the_iteration_cannot_solve_is_not_answered() -> None:
    assert subspace_iteration(np.diag(np.linspace(1.0, 1 - 1e-9, 200)), 4) is None


def test_the_solver_is_chosen_by_size_and_rank() -> None:
    assert choose_solver(3072, None) == "eigh"
    assert choose_solver(256, 4) == "eigh"
    assert choose_solver(3072, 3000) == "eigh"
    assert choose_solver(11008, 64) == "subspace"
    assert choose_solver(EIGH_LARGEST + 1, 20_000) == "subspace"


def test_the_same_matrix_gives_the_same_bits() -> None:
    A, _ = with_spectrum(np.arange(1, 101.0) ** -1.0)
    for first, second in zip(subspace_iteration(A, 8), subspace_iteration(A, 8), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("A", "options", "error"),
    [
        (np.ones((2, 3)), {}, ShapeMismatch),
        (np.full((2, 2), np.nan), {}, NonFiniteGradient),
        (np.eye(2), {"rank": 0}, InvalidInput),
        (np.eye(2), {"energy": 1.5}, InvalidInput),
    ],
)
def test_bad_input_is_refused(
    A: Float64Array, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        leading_eigenvectors(A, **options)
