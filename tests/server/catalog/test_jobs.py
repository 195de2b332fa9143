"""Lists of jobs against lists that a test sorts and cuts itself, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.catalogs import empty
from support.workbench import group_of, manifest_of

from sparsegrad_server.catalog import Catalog, calibrations, jobs
from sparsegrad_server.catalog.tables import JobRow
from sparsegrad_server.jobs.queue import enqueue_publish
from sparsegrad_shared.jobs import JobState

START = datetime(2026, 1, 1, tzinfo=UTC)
STATES: tuple[JobState, ...] = get_args(JobState)
# A namespace, seconds (often the same), a state.
QUEUED = st.lists(
    st.tuples(st.sampled_from(["team", "other"]), st.integers(0, 2), st.sampled_from(STATES)),
    max_size=8,
)


@given(
    queued=QUEUED,
    limit=st.integers(1, 4),
    state=st.sampled_from([None, *STATES]),
    namespace=st.sampled_from(["*", "team"]),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_are_the_sorted_list_cut_in_parts(
    catalog: Catalog,
    queued: list[tuple[str, int, JobState]],
    limit: int,
    state: JobState | None,
    namespace: str,
) -> None:
    empty(catalog)
    rows: list[tuple[float, str, str]] = []
    with catalog.writing() as session:
        for number, (home, seconds, now) in enumerate(queued):
            manifest = manifest_of([group_of()], name=f"{home}/n{number}")
            calibrations.add(session, f"cal-{number}", manifest, "tests", START)
            job = enqueue_publish(session, f"cal-{number}", START + timedelta(seconds=seconds))
            job.state = now
            if namespace in ("*", home):
                rows.append((-seconds, job.id, now))
    expected = [job for _, job, now in sorted(rows) if state in (None, now)]
    found: list[str] = []
    after: str | None = None
    pages = 0
    while pages == 0 or after is not None:
        with catalog.reading() as session:
            page, after = jobs.find(session, state, namespace, limit, after)
        assert len(page) <= limit
        assert all(job.calibration_id == calibration.id for job, calibration in page)
        found += [job.id for job, _ in page]
        pages += 1
    assert found == expected
    assert pages == max(1, -(-len(expected) // limit))
    with catalog.reading() as session:
        counts = jobs.count_states(session, namespace)
        assert jobs.states(session, [job for _, job, _ in rows]) == {
            job: now for _, job, now in rows
        }
    assert counts == {each: sum(now == each for *_, now in rows) for each in STATES}


def test_only_what_waits_and_came_before_is_ahead(catalog: Catalog) -> None:
    ids = []
    with catalog.writing() as session:
        for number, state in enumerate(("queued", "leased", "queued", "queued")):
            calibrations.add(session, f"cal-{number}", manifest_of([group_of()]), "tests", START)
            job = enqueue_publish(session, f"cal-{number}", START + timedelta(seconds=number))
            job.state = state
            ids.append(job.id)
    with catalog.reading() as session:
        ahead = [jobs.count_ahead(session, session.get_one(JobRow, job)) for job in ids]
    assert ahead == [0, 0, 1, 2]
