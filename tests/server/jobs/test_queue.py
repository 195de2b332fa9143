"""The queue: one worker a job, one job a calibration, and no writing with an old lease."""

from __future__ import annotations

import itertools
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select
from support.catalogs import empty
from support.workbench import group_of, manifest_of

from sparsegrad_server.catalog import Catalog, calibrations
from sparsegrad_server.catalog.tables import JobRow
from sparsegrad_server.jobs import queue
from sparsegrad_server.jobs.queue import Lease, LeaseLost
from sparsegrad_shared.errors import JobFailed, Problem, ServerFault

START = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=30)
PASSING = ServerFault("OSError: No space left on device").to_problem()


def opened(catalog: Catalog) -> str:
    calibration_id = f"cal-{uuid.uuid4().hex}"
    with catalog.writing() as session:
        calibrations.add(session, calibration_id, manifest_of([group_of()]), "tests", START)
    return calibration_id


def claimed(catalog: Catalog, now: datetime, worker: str = "a") -> Lease | None:
    with catalog.writing() as session:
        return queue.claim(session, worker, now, LEASE)


def only_job(catalog: Catalog) -> JobRow:
    with catalog.reading() as session:
        return session.scalars(select(JobRow)).one()


def test_accumulation_is_asked_for_once_until_it_is_done_then_anew(catalog: Catalog) -> None:
    calibration = opened(catalog)
    for _ in range(3):
        with catalog.writing() as session:
            queue.request_accumulation(session, calibration, START)
    lease = claimed(catalog, START)
    assert lease is not None
    assert lease.kind == "accumulate"
    with catalog.writing() as session:
        queue.request_accumulation(session, calibration, START)
    assert claimed(catalog, START) is None
    with catalog.writing() as session:
        queue.complete(session, lease, START)
        queue.request_accumulation(session, calibration, START)
    again = claimed(catalog, START)
    assert again is not None
    assert (again.job_id, again.fence) == (lease.job_id, lease.fence + 1)


def test_a_second_finish_answers_the_same_job_and_revives_it_only_when_it_failed(
    catalog: Catalog,
) -> None:
    calibration = opened(catalog)
    with catalog.writing() as session:
        first = queue.enqueue_publish(session, calibration, START).id
        assert queue.enqueue_publish(session, calibration, START).id == first
    lease = claimed(catalog, START)
    assert lease is not None
    with catalog.writing() as session:
        queue.fail(session, lease, JobFailed("damaged").to_problem(), START)
        assert queue.enqueue_publish(session, calibration, START).id == first
    assert only_job(catalog).state == "queued"
    assert only_job(catalog).error is None
    lease = claimed(catalog, START)
    assert lease is not None
    with catalog.writing() as session:
        queue.complete(session, lease, START, version=None)
        queue.enqueue_publish(session, calibration, START)
    assert only_job(catalog).state == "done"


def test_publication_goes_first_but_never_beside_another_job_of_its_calibration(
    catalog: Catalog,
) -> None:
    summing, publishing = opened(catalog), opened(catalog)
    with catalog.writing() as session:
        queue.request_accumulation(session, summing, START)
        queue.request_accumulation(session, publishing, START)
    first, second = claimed(catalog, START), claimed(catalog, START)
    assert {first and first.calibration_id, second and second.calibration_id} == {
        summing,
        publishing,
    }
    with catalog.writing() as session:
        queue.enqueue_publish(session, publishing, START)
    assert claimed(catalog, START) is None
    mine = first if first and first.calibration_id == publishing else second
    assert mine is not None
    with catalog.writing() as session:
        queue.complete(session, mine, START)
        queue.request_accumulation(session, publishing, START)
    third = claimed(catalog, START)
    assert third is not None
    assert third.kind == "publish"


def test_a_worker_that_wakes_does_not_hold_its_job_on_beside_another_of_its_calibration(
    catalog: Catalog,
) -> None:
    calibration = opened(catalog)
    with catalog.writing() as session:
        queue.request_accumulation(session, calibration, START)
    stopped = claimed(catalog, START, "a")
    assert stopped is not None
    later = START + LEASE
    with catalog.writing() as session:
        queue.enqueue_publish(session, calibration, later)
    publishing = claimed(catalog, later, "b")
    assert publishing is not None
    assert publishing.kind == "publish"
    with pytest.raises(LeaseLost), catalog.writing() as session:
        queue.extend(session, stopped, later, LEASE)
    assert claimed(catalog, later, "c") is None
    with catalog.writing() as session:
        queue.complete(session, publishing, later, version=1)
    summing = claimed(catalog, later, "c")
    assert summing is not None
    assert summing.kind == "accumulate"


def test_a_lease_that_ran_out_goes_to_another_worker_and_the_first_may_not_write(
    catalog: Catalog,
) -> None:
    calibration = opened(catalog)
    with catalog.writing() as session:
        queue.enqueue_publish(session, calibration, START)
    old = claimed(catalog, START, "a")
    assert old is not None
    assert claimed(catalog, START + LEASE - timedelta(seconds=1), "b") is None
    with catalog.writing() as session:
        queue.extend(session, old, START + LEASE, LEASE)
    assert claimed(catalog, START + LEASE, "b") is None
    later = START + 2 * LEASE
    new = claimed(catalog, later, "b")
    assert new is not None
    assert new.fence > old.fence
    with pytest.raises(LeaseLost), catalog.writing() as session:
        queue.report(session, old, "solving", 1, 2, later)
    with pytest.raises(LeaseLost), catalog.writing() as session:
        queue.extend(session, old, later, LEASE)
    for end in (
        lambda s: queue.complete(s, old, later),
        lambda s: queue.fail(s, old, PASSING, later),
        lambda s: queue.retry(s, old, PASSING, later),
        lambda s: queue.release(s, old, later),
    ):
        with pytest.raises(LeaseLost), catalog.writing() as session:
            end(session)
    assert only_job(catalog).worker == "b"


def test_a_job_whose_workers_die_again_and_again_fails_and_says_so(catalog: Catalog) -> None:
    calibration = opened(catalog)
    with catalog.writing() as session:
        queue.enqueue_publish(session, calibration, START)
    now = START
    for _ in range(queue.MAX_ATTEMPTS):
        lease = claimed(catalog, now)
        assert lease is not None
        with catalog.writing() as session:
            queue.report(session, lease, "solving U and V of up", 0, 1, now)
        now += LEASE
    assert claimed(catalog, now) is None
    row = only_job(catalog)
    assert row.state == "failed"
    assert "solving U and V of up" in Problem.model_validate_json(row.error or "").detail


def test_deaths_that_leave_a_job_further_than_it_was_are_not_counted(catalog: Catalog) -> None:
    calibration = opened(catalog)
    with catalog.writing() as session:
        queue.enqueue_publish(session, calibration, START)
    now = START
    for _ in range(2 * queue.MAX_ATTEMPTS):
        lease = claimed(catalog, now)
        assert lease is not None
        with catalog.writing() as session:
            queue.advance(session, lease)
        now += LEASE
    for _ in range(queue.MAX_ATTEMPTS - 1):  # the last of those above counts as one
        assert claimed(catalog, now) is not None
        now += LEASE
    assert claimed(catalog, now) is None
    assert only_job(catalog).state == "failed"


def test_after_a_passing_error_a_job_rests_longer_each_time_then_fails_with_that_error(
    catalog: Catalog,
) -> None:
    calibration = opened(catalog)
    with catalog.writing() as session:
        queue.enqueue_publish(session, calibration, START)
    now, rests = START, []
    for _ in range(queue.MAX_ATTEMPTS - 1):
        lease = claimed(catalog, now)
        assert lease is not None
        with catalog.writing() as session:
            queue.retry(session, lease, PASSING, now)
        until = only_job(catalog).leased_until
        assert until is not None
        assert claimed(catalog, until - timedelta(microseconds=1)) is None
        rests.append(until - now)
        now = until
    assert all(longer == 2 * shorter for shorter, longer in itertools.pairwise(rests))
    lease = claimed(catalog, now)
    assert lease is not None
    with catalog.writing() as session:
        queue.retry(session, lease, PASSING, now)
    row = only_job(catalog)
    assert (row.state, Problem.model_validate_json(row.error or "")) == ("failed", PASSING)


def test_a_job_given_back_by_a_worker_that_stops_is_free_at_once_and_uses_up_no_attempt(
    catalog: Catalog,
) -> None:
    calibration = opened(catalog)
    with catalog.writing() as session:
        queue.enqueue_publish(session, calibration, START)
    for _ in range(2 * queue.MAX_ATTEMPTS):
        lease = claimed(catalog, START)
        assert lease is not None
        with catalog.writing() as session:
            queue.release(session, lease, START)
    assert only_job(catalog).attempts == 0


class Workers(RuleBasedStateMachine):
    """Workers that claim, beat, end and die in any order, against a model of who has what."""

    leases = Bundle("leases")

    def __init__(self, catalog: Catalog) -> None:
        super().__init__()
        empty(catalog)
        self.catalog = catalog
        self.calibrations = [opened(self.catalog) for _ in range(2)]
        self.now = START
        self.until: dict[str, datetime] = {}  # of the newest lease of each job
        self.newest: dict[str, Lease] = {}

    @rule(which=st.integers(0, 1), finish=st.booleans())
    def ask(self, which: int, finish: bool) -> None:
        with self.catalog.writing() as session:
            if finish:
                queue.enqueue_publish(session, self.calibrations[which], self.now)
            else:
                queue.request_accumulation(session, self.calibrations[which], self.now)

    @rule(seconds=st.integers(1, 40))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(target=leases, worker=st.sampled_from("abc"))
    def claim(self, worker: str) -> object:
        lease = claimed(self.catalog, self.now, worker)
        if lease is None:
            return multiple()
        known = self.newest.get(lease.job_id)
        assert known is None or lease.fence > known.fence
        for other in self.newest.values():
            if other.calibration_id == lease.calibration_id:
                assert self.until[other.job_id] <= self.now, "two jobs of one calibration"
        self.newest[lease.job_id] = lease
        self.until[lease.job_id] = self.now + LEASE
        return lease

    @rule(lease=leases)
    def beat(self, lease: Lease) -> None:
        if self._write(lease, lambda s: queue.extend(s, lease, self.now, LEASE)):
            self.until[lease.job_id] = self.now + LEASE

    @rule(lease=leases)
    def advance(self, lease: Lease) -> None:
        self._write(lease, lambda s: queue.advance(s, lease))

    @rule(lease=consumes(leases), how=st.sampled_from(["complete", "fail", "retry", "release"]))
    def end(self, lease: Lease, how: str) -> None:
        ways = {
            "complete": lambda s: queue.complete(s, lease, self.now),
            "fail": lambda s: queue.fail(s, lease, PASSING, self.now),
            "retry": lambda s: queue.retry(s, lease, PASSING, self.now),
            "release": lambda s: queue.release(s, lease, self.now),
        }
        if self._write(lease, ways[how]):
            self.until[lease.job_id] = self.now

    def _write(self, lease: Lease, act: object) -> bool:
        try:
            with self.catalog.writing() as session:
                act(session)  # type: ignore[operator]
        except LeaseLost:
            return False
        assert self.newest[lease.job_id] == lease, "an old lease wrote"
        return True

    @invariant()
    def rows_hold_together(self) -> None:
        with self.catalog.reading() as session:
            rows = list(session.scalars(select(JobRow)))
        assert len({(row.calibration_id, row.kind) for row in rows}) == len(rows)
        for row in rows:
            assert row.attempts <= queue.MAX_ATTEMPTS
            assert (row.state == "leased") == (row.worker is not None)
            assert row.state != "failed" or row.error is not None


def test_jobs_are_whose_the_model_says(catalog: Catalog) -> None:
    run_state_machine_as_test(
        lambda: Workers(catalog),
        settings=settings(
            max_examples=15,
            stateful_step_count=20,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
