"""The queue of jobs: rows, and nothing else.

A calibration has at most two jobs. `accumulate` sums gradients while they arrive, and is queued
anew whenever there may be more; `publish` computes the basis after the finish. Both never run at
once, since they share the partial Gram matrices.

::

    queued ──claim──► leased ──complete──► done
      ▲                 │ ├────fail──────► failed ──(finish again)──► queued
      └─release, retry──┘ └─(lease runs out)─► leased by another worker

Every lease has a higher fence than the one before it; whoever writes with an old fence gets
`LeaseLost`. Each function works inside the caller's writing transaction and decides from rows and
the time that it is given. It locks the rows that it decides from (see `catalog.engine`); `claim`
passes over those that others have locked, so that workers do not queue for one another.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from sparsegrad_shared.errors import JobFailed, Problem

from ..catalog import phases
from ..catalog.inserting import insert_if_absent
from ..catalog.tables import JobRow
from .choosing import first_claimable, lock_jobs
from .saying import done, say

JobKind = Literal["accumulate", "publish"]

# Leases that may end in an error or a death, none of them getting further, before the job is
# given up.
MAX_ATTEMPTS = 5
FIRST_REST_SECONDS = 2.0  # after an error; doubled with each further one
# Put together once: every gradient that is stored asks for it.
_OF_CALIBRATION = (
    select(JobRow)
    .where(JobRow.calibration_id == bindparam("calibration"), JobRow.kind == bindparam("its_kind"))
    .with_for_update()
    .execution_options(populate_existing=True)
)


class LeaseLost(Exception):
    """The job is another worker's by now, or ended: whatever this one has, it may not write."""


@dataclass(frozen=True)
class Lease:
    """The right to work on a job, until another lease of a higher fence exists."""

    job_id: str
    calibration_id: str
    kind: JobKind
    worker: str
    fence: int


def request_accumulation(
    session: Session, calibration_id: str, now: datetime | None = None
) -> None:
    """Have a worker look for gradients to sum: called with each gradient that is stored.

    One that waits or runs already will see the gradient; one that failed stays so, since
    `publish` meets the same fault and reports it.
    """
    row = _job_of(session, calibration_id, "accumulate", now or datetime.now(UTC))
    if row.state == "done":
        _queue_anew(row, now or datetime.now(UTC))


def enqueue_publish(session: Session, calibration_id: str, now: datetime | None = None) -> JobRow:
    """Have the basis computed and published: called by the finish.

    A second call answers the same job. If that job has failed it is queued once more: whatever
    was wrong (a full disk, a damaged gradient put back from a copy) may have been mended.
    """
    row = _job_of(session, calibration_id, "publish", now or datetime.now(UTC))
    if row.state == "failed":
        now = now or datetime.now(UTC)
        _queue_anew(row, now)
        say(session, row, "info", "finished again after a failure: queued anew", now)
    return row


def claim(session: Session, worker: str, now: datetime, duration: timedelta) -> Lease | None:
    """Lease the next job: publications first, then the oldest; None when there is none.

    A job whose worker was lost too often is failed on the way.
    """
    mine: set[str] = set()  # calibrations whose jobs this transaction has locked
    others: set[str] = set()  # and those of which another one has
    while (row := first_claimable(session, now, others)) is not None:
        if row.calibration_id not in mine:
            # What was read before the lock may have changed: lock, then look again.
            locked = lock_jobs(session, row.calibration_id)
            (mine if locked else others).add(row.calibration_id)
            continue
        if row.attempts >= MAX_ATTEMPTS:
            _end_exhausted(session, row, now)
            session.flush()
            continue
        _end_lapsed_leases(session, row.calibration_id, now)
        row.state = "leased"
        row.worker = worker
        row.fence += 1
        row.attempts += 1
        row.leased_until = now + duration
        row.updated = now
        if row.kind == "publish" or row.attempts > 1:
            taken = f"attempt {row.attempts} of {MAX_ATTEMPTS}: worker {worker} has it"
            say(session, row, "info", taken, now)
        kind: JobKind = "publish" if row.kind == "publish" else "accumulate"
        return Lease(row.id, row.calibration_id, kind, worker, row.fence)
    return None


def _end_lapsed_leases(session: Session, calibration_id: str, now: datetime) -> None:
    """Queue the calibration's jobs whose leases ran out.

    A worker that was stopped for a while may yet wake, and hold its job on beside another one.
    """
    lapsed = select(JobRow).where(
        JobRow.calibration_id == calibration_id,
        JobRow.state == "leased",
        JobRow.leased_until <= now,
    )
    for row in session.scalars(lapsed):
        lost = f"worker {row.worker} was lost while {row.phase!r}: its lease ran out"
        say(session, row, "warning", lost, now)
        _give_back(row, now)


def held(session: Session, lease: Lease) -> JobRow:
    """The row of a job that is leased to `lease`.

    Raises:
        LeaseLost: when it is another's by now, or ended.
    """
    row = session.get(JobRow, lease.job_id, populate_existing=True, with_for_update=True)
    if row is None or row.state != "leased" or row.fence != lease.fence:
        raise LeaseLost(f"job {lease.job_id}: lease {lease.fence} of {lease.worker} has ended")
    return row


def extend(session: Session, lease: Lease, now: datetime, duration: timedelta) -> None:
    """Hold the lease for longer: the heartbeat.

    Raises:
        LeaseLost: when it is another's by now, or ended.
    """
    held(session, lease).leased_until = now + duration


def advance(session: Session, lease: Lease) -> None:
    """Count the attempts anew, since what this one did so far is kept, and need not be done again.

    So a job outlasts any number of deaths, on machines that are taken away as they please, as long
    as each of them leaves it further than it was.

    Raises:
        LeaseLost: when it is another's by now, or ended.
    """
    held(session, lease).attempts = 1


def report(
    session: Session,
    lease: Lease,
    phase: str,
    completed: int,
    total: int,
    now: datetime,
    lines: Iterable[str] = (),
) -> None:
    """Write down how far the job is, and what it has to say to that.

    Raises:
        LeaseLost: when it is another's by now, or ended.
    """
    row = held(session, lease)
    phases.enter(session, row, phase, now)
    row.completed, row.total, row.updated = completed, total, now
    for line in lines:
        say(session, row, "info", line, now)


def complete(session: Session, lease: Lease, now: datetime, version: int | None = None) -> None:
    """End the job well; `version` is what it published.

    Raises:
        LeaseLost: when it is another's by now, or ended.
    """
    row = held(session, lease)
    row.version = version
    row.error = None
    if row.phase_began is not None:
        seconds = (now - row.phase_began).total_seconds()
        say(session, row, "info", done(row.phase, seconds), now)
    if version is not None:
        say(session, row, "info", f"published as version {version}", now)
    phases.enter(session, row, "done", now)
    row.completed = row.total
    _end(row, "done", now)


def fail(session: Session, lease: Lease, problem: Problem, now: datetime) -> None:
    """End the job with an error that another attempt would meet again.

    Raises:
        LeaseLost: when it is another's by now, or ended.
    """
    row = held(session, lease)
    row.error = problem.model_dump_json()
    say(session, row, "error", problem.detail, now)
    _end(row, "failed", now)


def retry(session: Session, lease: Lease, problem: Problem, now: datetime) -> None:
    """Give the job back after an error that may pass; it rests first, or fails if it was the last.

    Raises:
        LeaseLost: when it is another's by now, or ended.
    """
    row = held(session, lease)
    row.error = problem.model_dump_json()
    if row.attempts >= MAX_ATTEMPTS:
        given_up = f"{problem.detail}; that was attempt {row.attempts}, the last"
        say(session, row, "error", given_up, now)
        _end(row, "failed", now)
        return
    rest = FIRST_REST_SECONDS * 2 ** (row.attempts - 1)
    say(session, row, "warning", f"{problem.detail}; tried again in {rest:g} s", now)
    _give_back(row, now)
    row.leased_until = now + timedelta(seconds=rest)


def release(session: Session, lease: Lease, now: datetime) -> None:
    """Give the job back unharmed, since the worker stops; this was no attempt.

    Raises:
        LeaseLost: when it is another's by now, or ended.
    """
    row = held(session, lease)
    row.attempts -= 1
    say(session, row, "info", "given back: its worker was asked to stop", now)
    _give_back(row, now)


def _job_of(session: Session, calibration_id: str, kind: JobKind, now: datetime) -> JobRow:
    """The calibration's job of that kind, locked; a new one when there is none."""
    wanted = {"calibration": calibration_id, "its_kind": kind}
    row = session.scalars(_OF_CALIBRATION, wanted).one_or_none()
    if row is None:
        _insert(session, calibration_id, kind, now)
        row = session.scalars(_OF_CALIBRATION, wanted).one()  # ours, or of whoever was quicker
    return row


def _insert(session: Session, calibration_id: str, kind: JobKind, now: datetime) -> None:
    insert_if_absent(
        session,
        JobRow,
        id=uuid.uuid4().hex,
        calibration_id=calibration_id,
        kind=kind,
        state="queued",
        phase="waiting for a worker",
        phase_began=None,
        completed=0,
        total=0,
        worker=None,
        fence=0,
        leased_until=None,
        attempts=0,
        error=None,
        version=None,
        created=now,
        updated=now,
    )


def _queue_anew(row: JobRow, now: datetime) -> None:
    row.attempts = 0
    row.error = None
    _give_back(row, now)


def _give_back(row: JobRow, now: datetime) -> None:
    row.state = "queued"
    row.phase, row.phase_began = "waiting for a worker", None
    row.completed = row.total = 0
    row.worker = None
    row.leased_until = None
    row.updated = now


def _end(row: JobRow, state: Literal["done", "failed"], now: datetime) -> None:
    row.state = state
    row.worker = None
    row.leased_until = None
    row.phase_began = None
    row.updated = now


def _end_exhausted(session: Session, row: JobRow, now: datetime) -> None:
    lost = JobFailed(
        f"{row.attempts} workers were lost while {row.phase!r}: killed, perhaps for want of "
        "memory; see the workers' logs, then finish the calibration again"
    )
    row.error = row.error or lost.to_problem().model_dump_json()
    say(session, row, "error", lost.message, now)
    _end(row, "failed", now)
