"""Which gradients are summed when: pure decisions on rows."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from support.workbench import group_of

from sparsegrad_server.catalog.tables import GradientRow
from sparsegrad_server.jobs.summing import (
    MOST_WAITING,
    fitted,
    held_out,
    is_worth_summing,
    leading_run,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GROUP = group_of(gradients=40, held_out=5)
SUM_BYTES = 8 * (GROUP.d_in**2 + GROUP.d_out**2)


def rows_at(indices: set[int], bytes_each: int = 1) -> list[GradientRow]:
    return [
        GradientRow(
            calibration_id="cal", group="up", index=index, state="stored", digest="", form="dense",
            zero=False, bytes=bytes_each, count=1, zero_count=0, reserved_by="", reserved_until=NOW,
        )
        for index in sorted(indices)
    ]  # fmt: skip


@given(st.sets(st.integers(0, GROUP.slots - 1)))
def test_the_leading_run_ends_at_the_first_slot_that_more_may_come_for(indices: set[int]) -> None:
    rows = rows_at(indices)
    assert {row.index for row in fitted(GROUP, rows)} == {i for i in indices if i < 40}
    assert {row.index for row in held_out(GROUP, rows)} == {i for i in indices if i >= 40}
    run = [row.index for row in leading_run(rows)]
    assert run == list(range(len(run)))
    assert len(run) not in indices


@given(st.integers(0, 39), st.integers(0, 39), st.integers(1, 2 * SUM_BYTES))
def test_a_sum_is_not_read_and_written_for_less_than_its_own_bytes(
    arrived: int, summed: int, bytes_each: int
) -> None:
    waiting = max(arrived - summed, 0)
    worth = is_worth_summing(GROUP, rows_at(set(range(arrived)), bytes_each), summed)
    enough = waiting * bytes_each >= SUM_BYTES or waiting >= MOST_WAITING
    assert worth == (waiting > 0 and enough)


def test_the_last_gradients_are_summed_however_few_they_are() -> None:
    whole = rows_at(set(range(GROUP.gradients)))
    assert is_worth_summing(GROUP, whole, GROUP.gradients - 1)
    assert not is_worth_summing(GROUP, whole, GROUP.gradients)
