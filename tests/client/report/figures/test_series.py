"""Lines that are thinned and smoothed, and the colours of groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_client.report.figures.series import MOST_NAMED, Series, group_colors

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=300)


def series(values: list[float]) -> Series:
    return Series.of(range(1, len(values) + 1), values)


def mean_around(values: list[float], place: int, half: int) -> float:
    """The plain reference of a running mean."""
    near = values[max(place - half, 0) : place + half + 1]
    return sum(near) / len(near)


@given(VALUES)
def test_a_smooth_line_is_the_mean_of_a_twenty_fifth_of_the_run(values: list[float]) -> None:
    half = len(values) // 25 // 2
    expected = [mean_around(values, place, half) for place in range(len(values))]
    np.testing.assert_allclose(series(values).smoothed().values, expected, atol=1e-8)


@pytest.mark.parametrize("count", [1, 2, 1999, 2000, 2001, 5000, 100_003])
def test_a_long_line_is_drawn_with_few_points_the_last_among_them(count: int) -> None:
    thin = series(np.arange(count, dtype=float).tolist()).thinned()
    assert min(count, 1000) <= len(thin.steps) <= 2000
    assert thin.steps[-1] == count
    assert set(np.diff(thin.steps)) <= {float(-(-count // 2000))}
    np.testing.assert_array_equal(thin.values, thin.steps - 1)


@pytest.mark.parametrize("count", [1, MOST_NAMED, MOST_NAMED + 1, 96])
def test_every_group_has_a_colour_of_its_own(count: int) -> None:
    colors = group_colors([f"up.{place}" for place in range(count)])
    assert len(set(colors.values())) == len(colors) == count
