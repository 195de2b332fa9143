"""Calibrations whose gradients may go: expired ones, and folders that never got a row."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from ..catalog import calibrations, namespaces
from ..catalog.tables import CalibrationRow, GradientRow, JobRow
from ..store.files import remove
from .parts import Parts
from .spare import Age, Spare


def spare_expired(parts: Parts, age: Age) -> Iterator[Spare]:
    """Calibrations whose time has passed; a running job or upload is waited for.

    Their rows stay, and so does what was published of them.
    """
    with parts.catalog.reading() as session:
        expired = list(
            session.scalars(
                select(CalibrationRow.id)
                .where(CalibrationRow.expires <= age.now, CalibrationRow.state != "expired")
                .order_by(CalibrationRow.id)
            )
        )
        waited_for = {name for name in expired if _is_in_use(session, name, age)}
    for name in expired:
        if name not in waited_for:
            size = parts.gradients.footprint(name).bytes
            yield Spare(f"expired calibration: {name}", size, partial(_expire, parts, name, age))


def spare_calibrations(parts: Parts, age: Age) -> Iterator[Spare]:
    """Gradients of calibrations that have no row, or whose expiry was cut short."""
    for name in sorted(parts.gradients.calibrations()):
        with parts.catalog.reading() as session:
            row = session.get(CalibrationRow, name)
            state = None if row is None else row.state
        if state not in (None, "expired"):
            continue
        footprint = parts.gradients.footprint(name)
        # Room is made before the row: the row of a young one may be on its way.
        if state == "expired" or age.is_over(footprint.changed):
            what = f"gradients of no calibration: {name}"
            yield Spare(what, footprint.bytes, partial(_delete, parts, name))


def _expire(parts: Parts, name: str, age: Age) -> bool:
    with parts.catalog.writing() as session:
        row = calibrations.take(session, name)
        if row.state == "expired" or row.expires is None or row.expires > age.now:
            return False
        if _is_in_use(session, name, age, lock=True):
            return False
        held = select(func.sum(GradientRow.bytes)).where(GradientRow.calibration_id == name)
        size = int(session.scalar(held) or 0)
        session.execute(delete(GradientRow).where(GradientRow.calibration_id == name))
        namespaces.charge(session, row.namespace, -size)
        row.state = "expired"
    # From here on no row names them: what a kill leaves is found by `spare_calibrations`.
    parts.gradients.delete(name)
    remove(parts.settings.partial_folder / name)
    return True


def _delete(parts: Parts, name: str) -> bool:
    with parts.catalog.reading() as session:
        row = session.get(CalibrationRow, name)
        if row is not None and row.state != "expired":
            return False  # its row has come in the meantime
    parts.gradients.delete(name)
    return True


def _is_in_use(session: Session, name: str, age: Age, *, lock: bool = False) -> bool:
    """Whether an upload or a job is at it, or about to be."""
    writing = select(GradientRow.index).where(
        GradientRow.calibration_id == name,
        GradientRow.state == "writing",
        GradientRow.reserved_until > age.now,
    )
    jobs = select(JobRow).where(JobRow.calibration_id == name).order_by(JobRow.id)
    states = {job.state for job in session.scalars(jobs.with_for_update() if lock else jobs)}
    busy = bool(states & {"queued", "leased"})
    return busy or session.scalar(writing.limit(1)) is not None
