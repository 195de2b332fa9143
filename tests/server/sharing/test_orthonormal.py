"""The probing check of orthonormality against the one that forms all products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bases import orthonormal

from sparsegrad_server.sharing.orthonormal import TOLERANCE, deviation, exact_deviation


@given(
    rows=st.integers(1, 60),
    share=st.floats(0.02, 1),
    size=st.floats(1e-3, 10),
    seed=st.integers(0, 1000),
)
def test_the_estimate_follows_the_exact_deviation(
    rows: int, share: float, size: float, seed: int
) -> None:
    columns = max(1, round(share * rows))
    Q = orthonormal(seed, rows, columns).astype(np.float64)
    Q += size * np.random.default_rng(seed).standard_normal(Q.shape) / rows
    exact = exact_deviation(Q)
    # 16 probes of a normal: their root mean square is within a third to three times the norm.
    assert exact / 3 < deviation(Q, seed=seed) < 3 * exact


@given(rows=st.integers(1, 200), seed=st.integers(0, 1000))
@settings(max_examples=30)
def test_a_basis_in_float32_passes(rows: int, seed: int) -> None:
    assert deviation(orthonormal(seed, rows, rows)) < TOLERANCE / 5


@given(seed=st.integers(0, 1000), column=st.integers(0, 199))
@settings(max_examples=30)
def test_one_column_that_is_off_does_not_pass(seed: int, column: int) -> None:
    Q = orthonormal(seed, 200, 200)
    Q[:, column] *= 1.001
    assert deviation(Q) > TOLERANCE


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_entry_that_is_not_finite_does_not_pass(value: float) -> None:
    Q = orthonormal(1, 50, 20)
    Q[30, 7] = value
    assert not deviation(Q) <= TOLERANCE


def test_panels_of_rows_make_no_difference() -> None:
    Q = orthonormal(2, 100, 40)
    Q[5, 5] += 0.1
    whole = deviation(Q)
    np.testing.assert_allclose(deviation(Q, panel_bytes=7 * 8 * 40), whole, rtol=1e-12)
