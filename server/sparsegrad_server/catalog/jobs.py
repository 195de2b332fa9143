"""Jobs, as the catalog answers for them; how they change is `jobs.queue`."""

from __future__ import annotations

from sqlalchemy.orm import Session

from sparsegrad_shared.bases import PublishedVersion
from sparsegrad_shared.errors import Problem, UnknownJob
from sparsegrad_shared.jobs import JobStatus

from .tables import CalibrationRow, JobRow, VersionRow


def get(session: Session, job_id: str) -> tuple[JobRow, CalibrationRow]:
    """A job and the calibration that it belongs to.

    Raises:
        UnknownJob: when there is no job of that id.
    """
    job = session.get(JobRow, job_id)
    calibration = None if job is None else session.get(CalibrationRow, job.calibration_id)
    if job is None or calibration is None:
        raise unknown(job_id)
    return job, calibration


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
