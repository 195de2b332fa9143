"""Principal angles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_server.hosvd import principal_angles, subspace_difference
from sparsegrad_server.hosvd.arrays import Float64Array
from sparsegrad_shared.errors import InvalidInput, ShapeMismatch

seeds = st.integers(0, 2**32 - 1)


def orthonormal(seed: int, size: int, columns: int) -> Float64Array:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, columns))).Q


@given(st.floats(1e-14, np.pi / 2))
def test_angles_of_two_lines_are_exact_however_small(angle: float) -> None:
    a, b = np.array([[1.0], [0.0]]), np.array([[np.cos(angle)], [np.sin(angle)]])
    np.testing.assert_allclose(principal_angles(a, b), [angle], rtol=1e-12)


@given(seeds, st.integers(1, 5), st.integers(1, 5))
def test_angles_are_symmetric_rising_and_within_a_right_angle(seed: int, p: int, q: int) -> None:
    a, b = orthonormal(seed, 8, p), orthonormal(seed + 1, 8, q)
    angles = principal_angles(a, b)
    assert angles.shape == (min(p, q),)
    assert (np.diff(angles) >= -1e-12).all()
    assert angles.min() >= 0
    assert angles.max() <= np.pi / 2 + 1e-12
    np.testing.assert_allclose(angles, principal_angles(b, a), atol=1e-12)


@given(seeds, st.integers(1, 6))
def test_turning_a_basis_in_its_own_space_changes_no_angle(seed: int, columns: int) -> None:
    a = orthonormal(seed, 9, columns)
    turned = a @ orthonormal(seed + 1, columns, columns)
    np.testing.assert_allclose(principal_angles(a, turned), 0, atol=1e-14)


def test_a_basis_does_not_differ_from_itself() -> None:
    a, eigenvalues = orthonormal(0, 80, 70), np.arange(70, 0.0, -1.0)
    found = subspace_difference(a, a, eigenvalues)
    assert [one.rank for one in found] == [1, 8, 64]
    for one in found:
        assert one.largest_angle < 1e-14
        assert one.overlap == pytest.approx(1)
        assert one.energy_kept == pytest.approx(1)


def test_orthogonal_subspaces_share_nothing() -> None:
    (found,) = subspace_difference(
        np.eye(6)[:, :2], np.eye(6)[:, 2:4], np.array([2.0, 1.0]), ranks=(2,)
    )
    assert found.largest_angle == pytest.approx(np.pi / 2)
    assert found.overlap == pytest.approx(0)
    assert found.energy_kept == pytest.approx(0)


def test_shapes_and_ranks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeMismatch):
        principal_angles(np.eye(3), np.eye(4))
    with pytest.raises(ShapeMismatch):
        subspace_difference(np.eye(3), np.eye(3), np.ones(2))
    with pytest.raises(InvalidInput):
        subspace_difference(np.eye(3), np.eye(3), np.ones(3), ranks=(0,))
