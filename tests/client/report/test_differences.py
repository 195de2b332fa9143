"""How far two bases lie apart, as people and programs read it."""

from __future__ import annotations

from math import radians

import pytest
from support.bases import Shape, made

from sparsegrad_client.report.differences import as_data, difference_rows, sentences
from sparsegrad_shared.bases import BasisDifference, GroupDifference

BASIS = made(1, [Shape("up", d_out=400, d_in=100, rank_out=3, rank_in=3)])


def difference(angles_in: tuple[float, ...], angles_out: tuple[float, ...]) -> BasisDifference:
    """A difference of these angles, in degrees."""
    group = GroupDifference(
        name="up",
        rank_in=len(angles_in),
        rank_out=len(angles_out),
        angles_in=tuple(map(radians, angles_in)),
        angles_out=tuple(map(radians, angles_out)),
    )
    return BasisDifference(a=BASIS.digest, b=BASIS.digest, groups=(group,))


def test_angles_are_in_degrees_and_what_is_shared_is_the_mean_squared_cosine() -> None:
    rows = difference_rows(difference((0, 60, 90), (45, 45)), BASIS.manifest)
    assert rows == [
        ("up", "input", "3", "60.0", "90.0", "41.7%", "3.0%"),
        ("up", "output", "2", "45.0", "45.0", "50.0%", "0.5%"),
    ]


@pytest.mark.parametrize(
    ("angles", "said"),
    [
        ((0, 0.1, 0.5), "have the same subspace in the 3 leading directions"),
        ((0, 5, 20), "have nearly the same subspace in the 3 leading directions (95.8%)"),
        ((0, 60, 90), "share 41.7% of the 3 leading directions, and differ in the rest"),
        ((85, 86, 90), "have no more in common in the 3 leading directions than random"),
    ],
)
def test_a_sentence_says_what_the_angles_mean(angles: tuple[float, ...], said: str) -> None:
    (sentence,) = sentences(difference(angles, (0, 0, 0)), BASIS.manifest)
    assert sentence.startswith(f"up: inputs {said}")
    assert sentence.endswith("outputs have the same subspace in the 3 leading directions.")


def test_programs_get_every_angle() -> None:
    data = as_data(difference((0, 60), (30, 90)), BASIS.manifest)
    groups = data["groups"]
    assert isinstance(groups, list)
    assert groups[0]["angles_degrees"] == pytest.approx([0, 60])
    assert groups[0]["shared"] == pytest.approx(0.625)
    assert (groups[1]["side"], groups[1]["shared_by_chance"]) == ("output", 0.005)
