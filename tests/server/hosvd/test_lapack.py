"""LAPACK without the interpreter's lock: the same numbers, and nobody waits."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from scipy.linalg.lapack import dsyevd

from sparsegrad_server.hosvd.arrays import Float64Array
from sparsegrad_server.hosvd.lapack import eigh_in_place


def symmetric(size: int) -> Float64Array:
    matrix = np.random.default_rng(size).standard_normal((size, size))
    return np.asfortranarray(matrix + matrix.T)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 150])
def test_the_bits_are_those_of_scipy_s_wrapper(size: int) -> None:
    expected_values, expected, _ = dsyevd(symmetric(size), lower=1)
    vectors = symmetric(size)
    np.testing.assert_array_equal(eigh_in_place(vectors), expected_values)
    np.testing.assert_array_equal(vectors, expected)


def test_other_threads_go_on_while_it_solves() -> None:
    matrix, solving = symmetric(900), threading.Event()
    entered, rounds = threading.Event(), 0

    def solve() -> None:
        entered.set()
        eigh_in_place(matrix)
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
        eigh_in_place(matrix)
