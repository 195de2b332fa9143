"""Names in pictures, and matplotlib's settings, which are the caller's."""

from __future__ import annotations

from itertools import pairwise

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reports import group_report

from sparsegrad_client.report.figures import spectra
from sparsegrad_client.report.figures.style import LONG, SHORT, shown, spread


@given(st.lists(st.floats(0, 1), max_size=30).map(sorted), st.floats(0.001, 0.2))
def test_spread_places_lie_apart_in_order_around_where_they_were(
    places: list[float], apart: float
) -> None:
    found = spread(places, apart)
    assert len(found) == len(places)
    gaps = [after - before for before, after in pairwise(found)]
    assert all(gap >= apart - 1e-9 for gap in gaps)
    assert sum(found) == pytest.approx(sum(places))
    if all(b - a > apart for a, b in pairwise(places)):
        assert found == places


@given(st.text(max_size=60), st.sampled_from([SHORT, LONG]))
def test_a_name_is_short_and_no_mathematics(name: str, letters: int) -> None:
    found = shown(name, letters).replace(r"\$", "$")
    assert len(found) == min(len(name), letters)
    if len(name) > letters:
        assert name.startswith(found[:3])
        assert name.endswith(found[-3:])
    assert "$" not in shown(name).replace(r"\$", "")


def test_drawing_leaves_the_settings_of_others_alone() -> None:
    before = dict(mpl.rcParams)
    spectra(group_report())
    assert dict(mpl.rcParams) == before
