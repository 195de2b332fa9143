"""How long the phases of jobs take: summed up, for the metrics, as each one ends."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from .inserting import insert_if_absent
from .tables import LONGEST, JobRow, PhaseRow


def enter(session: Session, job: JobRow, phase: str, now: datetime) -> None:
    """Have a leased job be in a phase; the one before it, if there was one, has ended.

    A long one, of many groups at once, is cut off.
    """
    phase = phase if len(phase) <= LONGEST else f"{phase[: LONGEST - 1]}…"
    if phase == job.phase:
        return
    if job.phase_began is not None:
        _count(session, job.kind, job.phase.split()[0], (now - job.phase_began).total_seconds())
    job.phase, job.phase_began = phase, now


def _count(session: Session, kind: str, phase: str, seconds: float) -> None:
    insert_if_absent(session, PhaseRow, kind=kind, phase=phase, count=0, seconds=0.0)
    session.execute(
        update(PhaseRow)
        .where(PhaseRow.kind == kind, PhaseRow.phase == phase)
        .values(count=PhaseRow.count + 1, seconds=PhaseRow.seconds + max(0.0, seconds))
    )
