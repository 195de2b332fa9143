"""Symmetric products by tiles: the upper triangle, once, with the same bits on any threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import DTypeLike
from threadpoolctl import threadpool_limits

from sparsegrad_server.hosvd.tiles import DIAGONAL_TILE, TILE, Product, add_products, triangle


@given(st.integers(1, 2 * TILE + 9))
def test_tiles_hold_each_entry_of_the_upper_triangle_once(size: int) -> None:
    times = np.zeros((size, size), np.int8)
    for tile in triangle(size):
        times[tile.top : tile.bottom, tile.left : tile.right] += 1
    assert (times[np.triu_indices(size)] == 1).all()
    assert times.max() == 1


def test_hardly_more_is_computed_than_the_triangle() -> None:
    size = 4 * TILE
    computed = sum(tile.size for tile in triangle(size))
    assert computed <= size * (size + DIAGONAL_TILE) / 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_change_no_bit(dtype: DTypeLike) -> None:
    generator = np.random.default_rng(0)
    G = generator.standard_normal((TILE + 50, 300)).astype(dtype)
    sums = []
    for threads in (1, 3):
        A_in, A_out = np.zeros((300, 300)), np.zeros((TILE + 50, TILE + 50))
        with threadpool_limits(threads):
            add_products(Product(A_in, G, G, 1.0), Product(A_out, G.T, G.T, 0.3))
        sums.append((A_in, A_out))
    np.testing.assert_array_equal(sums[0][0], sums[1][0])
    np.testing.assert_array_equal(sums[0][1], sums[1][1])
    expected = 0.3 * (G.astype(np.float64) @ G.T.astype(np.float64))
    np.testing.assert_allclose(
        np.triu(sums[0][1]), np.triu(expected), rtol=0, atol=1e-4 if dtype == np.float32 else 1e-11
    )
