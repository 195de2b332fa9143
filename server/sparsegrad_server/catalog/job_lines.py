"""What jobs say: lines that are added and read, and never changed.

They count from 1, whatever attempt says them. A job keeps its first lines and its last ones; in
between there is a gap in the numbers once it has said too much.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from sparsegrad_shared.jobs import JobLine, JobLog, LineLevel

from .tables import JobLineRow

FIRST = 500  # lines that are kept from the beginning
LAST = 1500  # and from the end
MAX_TEXT = 2000  # characters of a line


def add(session: Session, job_id: str, level: LineLevel, text: str, now: datetime) -> None:
    """Add a line.

    Args:
        session: a writing transaction that has the job's row locked, so that no two lines get
            one number.
        job_id: whose it is.
        level: how grave it is.
        text: one line or several; cut if it is very long.
        now: the time by the clock of who says it; a line is never dated before the last one,
            whichever worker's clock is behind, or waited longer for the job's row.
    """
    own = select(JobLineRow).where(JobLineRow.job_id == job_id)
    last = session.scalars(own.order_by(JobLineRow.number.desc()).limit(1)).first()
    number = 1 if last is None else last.number + 1
    at = now if last is None else max(now, last.at)
    # No text of PostgreSQL's holds NUL; what an error quotes may.
    kept = text[:MAX_TEXT].replace("\0", "\N{REPLACEMENT CHARACTER}")
    session.add(JobLineRow(job_id=job_id, number=number, at=at, level=level, text=kept))
    if (spare := number - LAST) > FIRST:
        of_the_middle = (JobLineRow.job_id == job_id, JobLineRow.number == spare)
        session.execute(delete(JobLineRow).where(*of_the_middle))
    session.flush()


def read(session: Session, job_id: str, limit: int, after: int = 0) -> JobLog:
    """A page of what a job said, oldest first.

    Args:
        session: of the caller's transaction.
        job_id: whose lines.
        limit: the most that the page holds.
        after: the number of the last line that is known already.
    """
    lines = select(JobLineRow).where(JobLineRow.job_id == job_id, JobLineRow.number > after)
    found = list(session.scalars(lines.order_by(JobLineRow.number).limit(limit + 1)))
    shown = found[:limit]
    last = shown[-1].number if shown else after
    return JobLog(
        lines=tuple(map(_line, shown)),
        left_out=last - after - len(shown),
        next=last if len(found) > limit else None,
    )


def _line(row: JobLineRow) -> JobLine:
    return JobLine.model_validate(
        {"number": row.number, "at": row.at, "level": row.level, "text": row.text}
    )
