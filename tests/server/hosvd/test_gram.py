"""The sums equal the dense products, however they are fed."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.hosvd import make_gradients, sum_up
from threadpoolctl import threadpool_limits

from sparsegrad_server.hosvd import GramMatrices, gradient_from_factors
from sparsegrad_server.hosvd.arrays import Float64Array
from sparsegrad_server.hosvd.gram import cheapest_route
from sparsegrad_server.hosvd.panels import PANEL_ROWS
from sparsegrad_shared.calibrations import Normalization
from sparsegrad_shared.errors import InvalidInput, NonFiniteGradient, ShapeMismatch

extents = st.integers(1, 12)
seeds = st.integers(0, 2**32 - 1)


def relative(found: Float64Array, expected: Float64Array) -> float:
    return np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-300)


@given(seeds, st.integers(1, 5), extents, extents)
def test_sum_equals_the_dense_products(seed: int, count: int, d_out: int, d_in: int) -> None:
    gradients = make_gradients(seed, count, d_out, d_in)
    sums = sum_up(gradients)
    assert relative(sums.A_in, sum(G.T @ G for G in gradients)) < 1e-13
    assert relative(sums.A_out, sum(G @ G.T for G in gradients)) < 1e-13
    assert sums.count == count
    np.testing.assert_allclose(sums.energy, sum(np.sum(G**2) for G in gradients))


def test_panels_cover_a_matrix_larger_than_one_panel() -> None:
    gradients = [np.random.default_rng(0).standard_normal((2 * PANEL_ROWS + 7, PANEL_ROWS + 1))]
    sums = sum_up(gradients)
    for matrix, expected in (
        (sums.A_in, gradients[0].T @ gradients[0]),
        (sums.A_out, gradients[0] @ gradients[0].T),
    ):
        assert relative(matrix, expected) < 1e-13
        np.testing.assert_array_equal(matrix, matrix.T)


@given(seeds, st.integers(1, 40), extents, extents, st.sampled_from(["none", "frobenius"]))
def test_factored_equals_dense_equals_sums(
    seed: int, tokens: int, d_out: int, d_in: int, normalize: Normalization
) -> None:
    generator = np.random.default_rng(seed)
    g, x = generator.standard_normal((tokens, d_out)), generator.standard_normal((tokens, d_in))
    factored, dense, summed = (GramMatrices(d_out, d_in, normalize=normalize) for _ in range(3))
    factored.add_factored(g, x)
    dense.add_dense(gradient_from_factors(g, x))
    summed.add_sums(dense.A_in, dense.A_out, count=1)
    for sums in (factored, summed):
        assert relative(sums.A_in, dense.A_in) < 1e-9
        assert relative(sums.A_out, dense.A_out) < 1e-9
    np.testing.assert_allclose(factored.energy, dense.energy, rtol=1e-9)


def test_the_cheaper_route_depends_on_the_tokens() -> None:
    assert cheapest_route(512, 4096, 11008) == "tokens"
    assert cheapest_route(4096, 3072, 768) == "dense"


@given(seeds, st.integers(2, 6), st.data())
def test_resumed_sum_has_the_bits_of_an_uninterrupted_one(
    seed: int, count: int, data: st.DataObject
) -> None:
    gradients = make_gradients(seed, count, 5, 7)
    cut = data.draw(st.integers(1, count - 1))
    whole = sum_up(gradients, normalize="frobenius")
    stored = sum_up(gradients[:cut], normalize="frobenius").to_arrays()
    resumed = GramMatrices.from_arrays({name: array.copy() for name, array in stored.items()})
    for gradient in gradients[cut:]:
        resumed.add_dense(gradient)
    for name, array in whole.to_arrays().items():
        np.testing.assert_array_equal(resumed.to_arrays()[name], array)


def test_reading_the_sum_does_not_change_what_follows() -> None:
    gradients = make_gradients(0, 4, 6, 5)
    read = GramMatrices(6, 5)
    for gradient in gradients:
        read.add_dense(gradient)
        assert read.A_in.trace() > 0
    np.testing.assert_array_equal(read.A_out, sum_up(gradients).A_out)


@given(seeds, st.integers(2, 5))
def test_frobenius_gives_each_gradient_the_same_weight(seed: int, count: int) -> None:
    gradients = make_gradients(seed, count, 4, 6)
    scaled = [G * 10.0**power for power, G in enumerate(gradients)]
    sums, others = (sum_up(some, normalize="frobenius") for some in (gradients, scaled))
    np.testing.assert_allclose(sums.A_in, others.A_in, atol=1e-12)
    np.testing.assert_allclose([sums.A_in.trace(), sums.A_out.trace()], count)


@given(st.integers(-300, 300))
def test_a_power_of_two_scales_the_sum_exactly(power: int) -> None:
    gradients = make_gradients(3, 2, 4, 5)
    expected = np.ldexp(sum_up(gradients).A_in, 2 * power)
    np.testing.assert_array_equal(sum_up([np.ldexp(G, power) for G in gradients]).A_in, expected)


def test_tiny_and_huge_float32_gradients_keep_their_energy() -> None:
    for size in (1e-30, 1e30):
        sums = GramMatrices(2, 3)
        sums.add_dense(np.full((2, 3), size, dtype=np.float32))
        np.testing.assert_allclose(sums.A_out, np.full((2, 2), 3 * size**2), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32])
def test_half_types_are_summed_as_their_float32_values(dtype: type[np.generic]) -> None:
    gradient = np.random.default_rng(0).standard_normal((6, 4)).astype(dtype)
    half, single = GramMatrices(6, 4), GramMatrices(6, 4)
    half.add_dense(gradient)
    single.add_dense(gradient.astype(np.float32))
    np.testing.assert_array_equal(half.A_out, single.A_out)


@given(seeds)
def test_zero_gradients_are_counted_and_change_nothing(seed: int) -> None:
    sums = sum_up(make_gradients(seed, 2, 3, 4))
    before = sums.A_in.copy()
    sums.add_dense(np.zeros((3, 4)))
    sums.add_factored(np.zeros((2, 3)), np.ones((2, 4)))
    sums.add_factored(np.array([[1.0] * 3, [0.0] * 3]), np.array([[0.0] * 4, [1.0] * 4]))
    assert (sums.count, sums.zero_count) == (2, 3)
    np.testing.assert_array_equal(sums.A_in, before)


def test_merged_parts_are_the_whole() -> None:
    gradients = make_gradients(1, 6, 5, 4)
    merged = sum_up(gradients[:2])
    merged.merge(sum_up(gradients[2:]))
    whole = sum_up(gradients)
    assert relative(merged.A_in, whole.A_in) < 1e-14
    assert merged.count == whole.count == 6


@pytest.mark.parametrize(
    ("gradient", "error"),
    [
        (np.array([[1.0, np.nan], [0.0, 1.0]]), NonFiniteGradient),
        (np.array([[1.0, -np.inf], [0.0, 1.0]]), NonFiniteGradient),
        (np.full((2, 2), 1e200), NonFiniteGradient),
        (np.ones((2, 3)), ShapeMismatch),
        (np.ones((2, 2), dtype=np.int64), ShapeMismatch),
    ],
)
def test_bad_gradients_are_refused_and_leave_the_sum_as_it_was(
    gradient: NDArray[Any], error: type[Exception]
) -> None:
    sums = GramMatrices(2, 2)
    sums.add_dense(np.eye(2))
    before = {name: array.copy() for name, array in sums.to_arrays().items()}
    with pytest.raises(error):
        sums.add_dense(gradient)
    for name, array in sums.to_arrays().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("A_in", "A_out", "count", "normalize", "message"),
    [
        (np.eye(2), np.eye(2) * 3, 1, "none", "equal traces"),
        (np.array([[1.0, 2.0], [0.0, 1.0]]), np.eye(2), 1, "none", "symmetric"),
        (np.eye(2), np.eye(2), 0, "none", "only then"),
        (np.eye(2), np.eye(2), 1, "frobenius", "normalise each gradient"),
        (np.eye(2), np.eye(2), -1, "none", "counts"),
    ],
)
def test_sums_that_cannot_be_gram_matrices_are_refused(
    A_in: Float64Array, A_out: Float64Array, count: int, normalize: Normalization, message: str
) -> None:
    sums = GramMatrices(2, 2, normalize=normalize)
    with pytest.raises(InvalidInput, match=message):
        sums.add_sums(A_in, A_out, count)
    assert sums.energy == 0
    assert not sums.A_in.any()


@pytest.mark.parametrize("tokens", [40, 517, 900])  # BLAS cuts sums of 517 by its threads
def test_threads_change_no_bit_of_a_sum(tokens: int) -> None:
    generator = np.random.default_rng(tokens)
    g, x = (generator.standard_normal((tokens, d)).astype(np.float32) for d in (300, 900))
    sums = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads):
            gram = GramMatrices(300, 900)
            gram.add_factored(g, x)
            gram.add_dense(np.ones((300, 900), np.float32))
        sums.append(gram)
    for other in sums[1:]:
        np.testing.assert_array_equal(other.A_in, sums[0].A_in)
        np.testing.assert_array_equal(other.A_out, sums[0].A_out)
