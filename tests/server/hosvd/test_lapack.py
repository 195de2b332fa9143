"""LAPACK without the interpreter's lock: the same numbers, and nobody waits."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from scipy.linalg.lapack import dsyevd

from sparsegrad_server.hosvd.arrays import Float64Array
from sparsegrad_server.hosvd.lapack import REFLECTORS, eigh


def symmetric(size: int) -> Float64Array:
    matrix = np.random.default_rng(size).standard_normal((size, size))
    return np.asfortranarray(matrix + matrix.T)


@pytest.mark.parametrize("size", [1, 2, 3, 26, REFLECTORS, REFLECTORS + 1, REFLECTORS + 2, 300])
def test_the_eigenpairs_are_those_of_syevd(size: int) -> None:
    expected_values, expected, _ = dsyevd(symmetric(size), lower=1)
    values, vectors = eigh(symmetric(size))
    np.testing.assert_allclose(values, expected_values, atol=1e-13 * np.abs(values).max())
    np.testing.assert_allclose(np.abs((vectors * expected).sum(axis=0)), 1.0, rtol=1e-12)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(size), atol=1e-13)


@pytest.mark.parametrize("count", [1, 5, REFLECTORS, 299, 300, 1000])
def test_fewer_columns_are_the_last_of_all(count: int) -> None:
    values, vectors = eigh(symmetric(300))
    fewer_values, fewer = eigh(symmetric(300), count)
    np.testing.assert_array_equal(fewer_values, values)
    np.testing.assert_allclose(fewer, vectors[:, -count:], atol=1e-13)


@pytest.mark.parametrize("scale", [1e-250, 1e-150, 1e150, 1e250])
def test_very_small_and_very_large_matrices_are_solved_as_well(scale: float) -> None:
    values, vectors = eigh(symmetric(200))
    scaled_values, scaled_vectors = eigh(symmetric(200) * scale)
    np.testing.assert_allclose(scaled_values, values * scale, atol=1e-13 * scale * values[-1])
    np.testing.assert_allclose(np.abs((vectors * scaled_vectors).sum(axis=0)), 1.0, rtol=1e-11)


def test_a_diagonal_matrix_needs_no_reflectors() -> None:
    values, vectors = eigh(np.asfortranarray(np.diag(np.arange(200.0))))
    np.testing.assert_array_equal(values, np.arange(200.0))
    np.testing.assert_array_equal(np.abs(vectors), np.eye(200))


def test_other_threads_go_on_while_it_solves() -> None:
    matrix, solving = symmetric(900), threading.Event()
    entered, rounds = threading.Event(), 0

    def solve() -> None:
        entered.set()
        eigh(matrix)
        solving.set()

    thread = threading.Thread(target=solve)
    thread.start()
    entered.wait()
    while not solving.wait(0.001):
        rounds += 1
    thread.join()
    assert rounds > 3  # where LAPACK is called with the lock held, the first wait lasts as long


@pytest.mark.parametrize(
    "matrix", [np.eye(3, dtype=np.float32), np.zeros((3, 4)), np.ones((3, 3))[:, :2]]
)
def test_what_lapack_would_misread_is_refused(matrix: Float64Array) -> None:
    with pytest.raises(ValueError, match="square float64"):
        eigh(matrix)
