"""The streamed HOSVD equals the one by definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hosvd import make_gradients, sum_up

from sparsegrad_server.hosvd import GramMatrices, compute_basis, principal_angles
from sparsegrad_server.hosvd.arrays import Float64Array
from sparsegrad_server.hosvd.reference import reference_hosvd
from sparsegrad_shared.errors import NoGradients

seeds = st.integers(0, 2**32 - 1)
extents = st.integers(2, 9)


def leading_with_a_gap(values: Float64Array) -> list[int]:
    """Counts of leading columns whose subspace a gap of a tenth makes well defined."""
    return [k for k in range(1, len(values)) if values[k] < 0.9 * values[k - 1]]


@given(seeds, st.integers(1, 6), extents, extents)
def test_streamed_equals_the_svd_of_the_unfoldings(
    seed: int, count: int, d_out: int, d_in: int
) -> None:
    gradients = make_gradients(seed, count, d_out, d_in)
    streamed, reference = compute_basis(sum_up(gradients)), reference_hosvd(gradients)
    np.testing.assert_allclose(streamed.energy, reference.energy)
    for ours, theirs, U, W in (
        (streamed.eigenvalues_in, reference.eigenvalues_in, streamed.U, reference.U),
        (streamed.eigenvalues_out, reference.eigenvalues_out, streamed.V, reference.V),
    ):
        known = len(theirs)
        np.testing.assert_allclose(ours[:known], theirs, atol=1e-12 * ours[0])
        np.testing.assert_allclose(ours[known:], 0, atol=1e-12 * ours[0])
        for k in leading_with_a_gap(theirs):
            # Davis and Kahan: the angle is at most round-off over the gap of the eigenvalues.
            bound = 1e-12 * ours[0] / (theirs[k - 1] - theirs[k])
            assert principal_angles(U[:, :k], W[:, :k]).max() < bound


@given(seeds)
def test_the_order_of_the_gradients_does_not_matter(seed: int) -> None:
    gradients = make_gradients(seed, 5, 6, 8)
    order = np.random.default_rng(seed).permutation(5)
    first, second = (
        compute_basis(sum_up(some)) for some in (gradients, [gradients[i] for i in order])
    )
    np.testing.assert_allclose(first.eigenvalues_in, second.eigenvalues_in, rtol=1e-9, atol=1e-14)
    for k in leading_with_a_gap(first.eigenvalues_in)[:4]:
        assert principal_angles(first.U[:, :k], second.U[:, :k]).max() < 1e-8


@given(seeds)
def test_the_same_gradients_give_the_same_bits(seed: int) -> None:
    gradients = make_gradients(seed, 3, 6, 5)
    first, second = (compute_basis(sum_up(gradients)) for _ in range(2))
    np.testing.assert_array_equal(first.U, second.U)
    np.testing.assert_array_equal(first.V, second.V)


@given(seeds, st.integers(1, 9))
def test_truncated_sides_keep_at_most_the_rank(seed: int, rank: int) -> None:
    basis = compute_basis(sum_up(make_gradients(seed, 3, 4, 8)), rank=rank)
    assert basis.U.shape == (8, min(rank, 8))
    assert basis.V.shape == (4, min(rank, 4))
    assert basis.eigenvalues_in.sum() <= basis.energy * (1 + 1e-12)


def test_a_full_basis_rebuilds_every_gradient() -> None:
    gradients = make_gradients(0, 3, 6, 8)
    basis = compute_basis(sum_up(gradients))
    for G in gradients:
        rebuilt = basis.V @ (basis.V.T @ G @ basis.U) @ basis.U.T
        np.testing.assert_allclose(rebuilt, G, atol=1e-12)


def test_only_zero_gradients_are_no_gradients() -> None:
    sums = GramMatrices(2, 3)
    sums.add_dense(np.zeros((2, 3)))
    with pytest.raises(NoGradients, match="1 were zero"):
        compute_basis(sums)


def test_the_reference_wants_a_gradient() -> None:
    with pytest.raises(NoGradients):
        reference_hosvd([])
