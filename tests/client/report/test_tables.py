"""Numbers and rows as people read them."""

from __future__ import annotations

import pytest

from sparsegrad_client.report.tables import (
    block_rows,
    rank_rows,
    report_rows,
    short_digest,
    size_text,
)
from sparsegrad_shared.report import BasisReport, BlockEnergy, GroupReport, Spectrum, TopEntries

SPECTRUM = Spectrum(
    ranks=(1, 2), eigenvalues=(3.0, 1.0), energy=(0.75, 1.0), rank_50=1, rank_90=2, rank_99=2
)


def _report(*, held_out: int) -> BasisReport:
    judged = held_out > 0
    group = GroupReport(
        name="up",
        held_out=held_out,
        density=0.01,
        basis=TopEntries(energy=0.7049, rows=10.4, columns=3.0) if judged else None,
        original=TopEntries(energy=0.639, rows=1.0, columns=1.0) if judged else None,
        blocks=(BlockEnergy(rows=8, columns=4, energy=0.3),) if judged else (),
        frozen_support=0.5 if judged else None,
        spectrum_in=SPECTRUM,
        spectrum_out=SPECTRUM,
    )
    return BasisReport(groups=(group,))


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (11_500_000, "11.5 MB"), (2e15, "2000.0 TB")],
)
def test_a_size_is_in_the_unit_that_reads_best(size: float, text: str) -> None:
    assert size_text(size) == text


def test_a_report_is_shares_and_ranks() -> None:
    (row,) = report_rows(_report(held_out=3))
    assert row == ("up", "1.00%", "70.5%", "63.9%", "50.0%", "10", "3")
    assert rank_rows(_report(held_out=3)) == [("up", "3", "1/2/2", "1/2/2")]
    assert block_rows(_report(held_out=3)) == [("up", "8 x 4", "30.0%")]


def test_what_was_not_judged_is_a_dash_not_a_zero() -> None:
    (row,) = report_rows(_report(held_out=0))
    assert row[2:] == ("-",) * 5
    assert block_rows(_report(held_out=0)) == []


def test_a_digest_is_cut_after_its_prefix() -> None:
    assert short_digest(f"sha256:{'ab' * 32}") == "abababababab"
