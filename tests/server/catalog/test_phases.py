"""Phases of jobs: counted as they end, however often a job says the same, only when they ran."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from support.workbench import group_of, manifest_of

from sparsegrad_server.catalog import Catalog, calibrations
from sparsegrad_server.catalog.tables import LONGEST, JobRow, PhaseRow
from sparsegrad_server.jobs import queue
from sparsegrad_server.jobs.queue import Lease
from sparsegrad_shared.errors import ServerFault

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG = timedelta(hours=1)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def claimed(catalog: Catalog, now: datetime = NOW) -> Lease:
    with catalog.writing() as session:
        lease = queue.claim(session, "worker", now, LONG)
    assert lease is not None
    return lease


@pytest.fixture
def lease(catalog: Catalog) -> Lease:
    with catalog.writing() as session:
        calibrations.add(session, "cal", manifest_of([group_of()]), "ci", NOW)
        queue.enqueue_publish(session, "cal", NOW)
    return claimed(catalog)


def say(catalog: Catalog, lease: Lease, phase: str, seconds: float) -> None:
    with catalog.writing() as session:
        queue.report(session, lease, phase, 0, 1, after(seconds))


def phases(catalog: Catalog) -> dict[str, tuple[int, float]]:
    with catalog.reading() as session:
        rows = session.scalars(select(PhaseRow)).all()
    assert {row.kind for row in rows} <= {"publish"}
    return {row.phase: (row.count, row.seconds) for row in rows}


def test_a_phase_is_counted_with_its_seconds_once_the_next_one_begins(
    catalog: Catalog, lease: Lease
) -> None:
    say(catalog, lease, "summing gradients of up", 1)
    say(catalog, lease, "summing gradients of up", 3)
    assert phases(catalog) == {}
    say(catalog, lease, "solving U and V of up", 5)
    say(catalog, lease, "summing gradients of down", 6)
    with catalog.writing() as session:
        queue.complete(session, lease, after(10))
    assert phases(catalog) == {"summing": (2, 8.0), "solving": (1, 1.0)}


def test_the_phase_of_many_groups_at_once_is_cut_off_and_still_counted(
    catalog: Catalog, lease: Lease
) -> None:
    groups = "; ".join(f"solving U and V of {'up' * 50}.{number}" for number in range(16))
    say(catalog, lease, f"computing 16 groups at once: {groups}", 1)
    say(catalog, lease, f"computing 16 groups at once: {groups}", 2)
    with catalog.reading() as session:
        shown = session.scalars(select(JobRow.phase)).one()
    assert len(shown) == LONGEST
    assert f"computing 16 groups at once: {groups}".startswith(shown.removesuffix("…"))
    say(catalog, lease, "publishing", 4)
    assert phases(catalog) == {"computing": (1, 3.0)}


def test_a_phase_that_was_given_back_or_failed_is_not_counted(
    catalog: Catalog, lease: Lease
) -> None:
    say(catalog, lease, "solving U and V of up", 1)
    with catalog.writing() as session:
        queue.release(session, lease, after(2))
    again = claimed(catalog, after(50))
    say(catalog, again, "solving U and V of up", 50)
    with catalog.writing() as session:
        queue.fail(session, again, ServerFault("broken").to_problem(), after(60))
    assert phases(catalog) == {}
