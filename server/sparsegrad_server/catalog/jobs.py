"""Jobs, as the catalog answers for them; how they change is `jobs.queue`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, get_args

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sparsegrad_shared.bases import PublishedVersion
from sparsegrad_shared.errors import Problem, UnknownJob
from sparsegrad_shared.jobs import JobState, JobStatus

from . import namespaces, paging
from .calibrations import WITHOUT_MANIFEST
from .tables import CalibrationRow, JobRow, VersionRow


def get(session: Session, job_id: str) -> tuple[JobRow, CalibrationRow]:
    """A job and the calibration that it belongs to.

    Raises:
        UnknownJob: when there is no job of that id.
    """
    job = session.get(JobRow, job_id)
    if job is None:
        raise unknown(job_id)
    calibration = session.get(CalibrationRow, job.calibration_id, options=[WITHOUT_MANIFEST])
    if calibration is None:
        raise unknown(job_id)
    return job, calibration


def find(
    session: Session,
    state: JobState | None,
    namespace: str,
    limit: int,
    after: str | None = None,
) -> tuple[list[tuple[JobRow, CalibrationRow]], str | None]:
    """A page of jobs with their calibrations, newest first, and the mark of the next one.

    Args:
        session: of the caller's transaction.
        state: the state that they are in; any when None.
        namespace: what the caller may see.
        limit: the most that the page holds.
        after: the mark that the page before ended with.

    Raises:
        InvalidInput: when `after` is no mark of such a list.
    """
    conditions = [namespaces.visible(CalibrationRow.namespace, namespace)]
    if state is not None:
        conditions.append(JobRow.state == state)
    if after is not None:
        created, job_id = paging.read_mark(after, str)
        conditions.append(paging.after((JobRow.created, True, created), (JobRow.id, False, job_id)))
    selected = (
        select(JobRow, CalibrationRow)
        .options(WITHOUT_MANIFEST)
        .join(CalibrationRow, CalibrationRow.id == JobRow.calibration_id)
        .where(*conditions)
        .order_by(JobRow.created.desc(), JobRow.id)
        .limit(limit + 1)
    )
    found = [(job, calibration) for job, calibration in session.execute(selected)]
    shown = found[:limit]
    last = shown[-1][0] if len(found) > limit else None
    return shown, None if last is None else paging.mark_of(last.created, last.id)


def count_states(session: Session, namespace: str) -> dict[str, int]:
    """How many jobs the caller may see, by their states; 0 where there is none."""
    counted = (
        select(JobRow.state, func.count().label("number"))
        .join(CalibrationRow, CalibrationRow.id == JobRow.calibration_id)
        .where(namespaces.visible(CalibrationRow.namespace, namespace))
        .group_by(JobRow.state)
    )
    counts = {row.state: int(row.number) for row in session.execute(counted)}
    return {state: counts.get(state, 0) for state in get_args(JobState)}


def states(session: Session, job_ids: Sequence[str]) -> dict[str, JobState]:
    """The states of jobs, by their ids."""
    rows = session.execute(select(JobRow.id, JobRow.state).where(JobRow.id.in_(job_ids)))
    return {job_id: cast(JobState, state) for job_id, state in rows}


def of_calibration(session: Session, calibration_id: str, kind: str) -> JobRow | None:
    """A calibration's job of that kind, if there is one."""
    job = select(JobRow).where(JobRow.calibration_id == calibration_id, JobRow.kind == kind)
    return session.scalars(job).one_or_none()


def count_ahead(session: Session, job: JobRow) -> int:
    """How many jobs a worker takes before this one; none once one has it."""
    if job.state != "queued":
        return 0
    before = select(func.count()).where(
        JobRow.state == "queued", JobRow.kind == "publish", JobRow.created < job.created
    )
    return session.scalar(before) or 0


def unknown(job_id: str) -> UnknownJob:
    """The error for an id that is not there, or that a token may not see."""
    return UnknownJob(f"no job {job_id!r}")


def status(session: Session, job: JobRow, calibration: CalibrationRow) -> JobStatus:
    """A job as it is shown: an error only if it failed, a basis only if it is done."""
    error = job.error if job.state == "failed" else None
    return JobStatus(
        id=job.id,
        calibration=job.calibration_id,
        state=job.state,
        phase=job.phase,
        completed=job.completed,
        total=job.total,
        created=job.created,
        updated=job.updated,
        error=None if error is None else Problem.model_validate_json(error),
        basis=_published(session, job, calibration),
    )


def _published(
    session: Session, job: JobRow, calibration: CalibrationRow
) -> PublishedVersion | None:
    if job.version is None:
        return None
    key = (calibration.namespace, calibration.name, job.version)
    version = session.get_one(VersionRow, key)
    name = f"{calibration.namespace}/{calibration.name}"
    return PublishedVersion(name=name, version=version.version, digest=version.digest)
