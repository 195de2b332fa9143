"""The report of a basis: what it holds, and that it stays readable."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sparsegrad_shared.report import (
    BasisReport,
    GradientSample,
    GroupReport,
    SampledMatrix,
    Spectrum,
    TopEntries,
    bin_edges,
    bin_sizes,
    level_of_share,
    share_of_level,
)

SPECTRUM = Spectrum(
    ranks=tuple(range(1, 129)),
    eigenvalues=tuple(1 / 3**rank for rank in range(1, 129)),
    energy=tuple(1 - 1 / 3**rank for rank in range(1, 129)),
    rank_50=1,
    rank_90=3,
    rank_99=5,
)
TOP = TopEntries(energy=2 / 3, rows=3.0, columns=2.0)


def matrix(rows: int = 3, columns: int = 2, **changed: object) -> SampledMatrix:
    down, across = min(rows, 64), min(columns, 64)
    content = {
        "rows": rows,
        "columns": columns,
        "energy": 1.0,
        "levels": os.urandom(down * across),
        "top": TOP,
        "top_by_rows": (across,) * down,
        "top_by_columns": (down,) * across,
    }
    return SampledMatrix.model_validate(content | changed)


def group(sample: GradientSample | None) -> GroupReport:
    return GroupReport(
        name="up",
        held_out=8,
        density=0.01,
        basis=TOP,
        original=TOP,
        blocks=(),
        frozen_support=1 / 3,
        spectrum_in=SPECTRUM,
        spectrum_out=SPECTRUM,
        sample=sample,
    )


@given(st.integers(1, 1 << 20))
def test_bins_cover_an_axis_once_and_evenly(extent: int) -> None:
    edges, sizes = bin_edges(extent), bin_sizes(extent)
    assert (edges[0], edges[-1], len(sizes)) == (0, extent, min(64, extent))
    assert 1 <= min(sizes) <= max(sizes) <= min(sizes) + 1
    assert sum(sizes) == extent


@given(st.integers(0, 255))
def test_a_level_is_read_as_it_was_written(level: int) -> None:
    assert level_of_share(share_of_level(level)) == level


@given(st.floats(1e-12, 1.0), st.floats(1e-12, 1.0))
def test_a_larger_share_is_no_lower_a_level_and_within_half_of_one(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert level_of_share(low) <= level_of_share(high)
    assert share_of_level(level_of_share(a)) == pytest.approx(a, rel=0.0594)


def test_no_energy_is_no_level_and_rounding_errors_are_no_more_than_all() -> None:
    assert level_of_share(0.0) == level_of_share(1e-30) == 0
    assert share_of_level(0) == 0
    assert level_of_share(1.0000001) == 255


def test_a_report_is_read_as_it_was_written() -> None:
    report = BasisReport(groups=(group(GradientSample(original=matrix(99, 5), basis=matrix())),))
    assert BasisReport.model_validate_json(report.model_dump_json()) == report


def test_a_report_from_before_there_were_pictures_is_read() -> None:
    content = json.loads(BasisReport(groups=(group(None),)).model_dump_json())
    del content["groups"][0]["sample"]
    assert BasisReport.model_validate_json(json.dumps(content)).groups == (group(None),)


def test_a_report_of_96_groups_stays_small() -> None:
    sample = GradientSample(original=matrix(4096, 11008), basis=matrix(4096, 4096))
    report = BasisReport(groups=(group(sample),) * 96)
    assert len(report.model_dump_json()) < 3_000_000


def test_shares_are_a_list_for_each_bin_of_rows() -> None:
    found = matrix(levels=bytes([255, 0, 235, 0, 0, 0])).shares()
    assert found == [[1.0, 0.0], [pytest.approx(0.1), 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"levels": b"12345"}, "3 x 2 bins; got 5 levels"),
        ({"top_by_rows": (2, 4)}, "got 6 levels, and counts for 2 x 2 bins"),
        ({"top_by_columns": (6,)}, "counts for 3 x 1 bins"),
        ({"top_by_columns": (1, 2)}, "of the same entries"),
        ({"rows": 0}, "greater than or equal to 1"),
        ({"columns": 1 << 21}, "less than or equal to 1048576"),
        ({"top_by_rows": (7, -1, 0)}, "greater than or equal to 0"),
    ],
)
def test_a_picture_that_contradicts_itself_is_refused(
    changed: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        matrix(**changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ranks": (), "eigenvalues": (), "energy": ()}, "at least 1 item"),
        ({"ranks": (1,)}, "expected as many eigenvalues and energies as ranks"),
        ({"eigenvalues": (float("nan"),) * 128}, "finite number"),
        ({"energy": (float("inf"),) * 128}, "finite number"),
        ({"energy": (1.5,) * 128}, "less than or equal to 1"),
        ({"rank_90": 0}, "greater than or equal to 1"),
    ],
)
def test_a_spectrum_that_cannot_be_drawn_is_refused(
    changed: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Spectrum.model_validate(SPECTRUM.model_dump() | changed)


def test_a_share_is_one_of_all() -> None:
    for share in (float("nan"), -0.1, 1.1):
        with pytest.raises(ValidationError):
            TopEntries(energy=share, rows=1, columns=1)
