"""Which job a worker takes next."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, or_, select
from sqlalchemy.orm import Session, aliased

from ..catalog.tables import JobRow


def lock_jobs(session: Session, calibration_id: str) -> bool:
    """Lock all jobs of a calibration without waiting; False when another has one of them."""
    jobs = select(JobRow.id).where(JobRow.calibration_id == calibration_id)
    locked = session.scalars(jobs.with_for_update(skip_locked=True)).all()
    return len(locked) == len(session.scalars(jobs).all())


def first_claimable(session: Session, now: datetime, passed_over: set[str]) -> JobRow | None:
    """The job that is next, of those that wait, or whose lease ran out.

    None of a calibration of which a worker has another job, or of those that are passed over.
    """
    other = aliased(JobRow)
    busy = (
        select(other.id)
        .where(
            other.calibration_id == JobRow.calibration_id,
            other.id != JobRow.id,
            other.state == "leased",
            other.leased_until > now,
        )
        .exists()
    )
    publications_first = case((JobRow.kind == "publish", 0), else_=1)
    return session.scalars(
        select(JobRow)
        .where(_free(now), ~busy, JobRow.calibration_id.not_in(passed_over))
        .order_by(publications_first, JobRow.created, JobRow.id)
        .limit(1),
        execution_options={"populate_existing": True},
    ).first()


def _free(now: datetime) -> ColumnElement[bool]:
    rested = or_(JobRow.leased_until.is_(None), JobRow.leased_until <= now)
    return and_(JobRow.state.in_(("queued", "leased")), rested)
