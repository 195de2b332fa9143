"""Names in pictures, and matplotlib's settings, which are the caller's."""

from __future__ import annotations

from itertools import pairwise

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reports import group_report

from sparsegrad_client.report.figures import spectra
from sparsegrad_client.report.figures.style import LONG, SHORT, shown, shown_apart, spread


@given(st.lists(st.floats(0, 1), max_size=30).map(sorted), st.floats(0.001, 0.2))
def test_spread_places_lie_apart_in_order_and_move_only_where_they_must(
    places: list[float], apart: float
) -> None:
    found = spread(places, apart)
    assert len(found) == len(places)
    assert all(after - before >= apart - 1e-9 for before, after in pairwise(found))
    if apart * (len(places) - 1) <= 1:
        assert all(-1e-9 <= place <= 1 + 1e-9 for place in found)
    if all(after - before > apart for before, after in pairwise(places)):
        assert found == places


def test_places_too_near_are_spread_around_their_mean() -> None:
    assert spread([0.2, 0.5, 0.5, 0.9], 0.1) == pytest.approx([0.2, 0.45, 0.55, 0.9])
    assert spread([0.0, 0.0, 1.0, 1.0], 0.1) == pytest.approx([0.0, 0.1, 0.9, 1.0])


@given(st.text(max_size=60), st.sampled_from([SHORT, LONG]))
def test_a_name_is_short_and_no_mathematics(name: str, letters: int) -> None:
    found = shown(name, letters).replace(r"\$", "$")
    assert len(found) == min(len(name), letters)
    if len(name) > letters:
        assert name.startswith(found[:3])
        assert name.endswith(found[-3:])
    assert "$" not in shown(name).replace(r"\$", "")


@given(
    st.lists(st.integers(0, 99), min_size=2, max_size=9, unique=True),
    st.sampled_from(["", ".up", ".mlp.gate_up"]),
)
def test_long_names_that_begin_alike_are_told_apart(numbers: list[int], end: str) -> None:
    names = [f"language_model.model.layers.{number}{end}" for number in numbers]
    found = shown_apart(names)
    assert len(set(found)) == len(names)
    assert max(map(len, found)) <= SHORT
    for number, text in zip(numbers, found, strict=True):
        assert text.startswith(f"…{number}{end[:1]}")


def test_names_that_are_short_enough_stay_whole() -> None:
    assert shown_apart(["up.10", "up.11"]) == ["up.10", "up.11"]
    assert shown_apart(["a_group_by_itself"], LONG) == ["a_group_by_itself"]


def test_only_whole_words_of_a_common_beginning_are_left_out() -> None:
    assert shown_apart(["transformer.layer", "transformer.layer.1"]) == ["…layer", "…layer.1"]
    assert shown_apart(["model.layers.10", "model.layers.12"]) == ["…10", "…12"]


def test_drawing_leaves_the_settings_of_others_alone() -> None:
    before = dict(mpl.rcParams)
    spectra(group_report())
    assert dict(mpl.rcParams) == before
