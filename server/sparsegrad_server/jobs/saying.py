"""What a job says, said once: to the catalog, and to the log of the process that says it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import event
from sqlalchemy.orm import Session

from sparsegrad_shared.jobs import LineLevel

from ..catalog import job_lines
from ..catalog.tables import JobRow

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_log = logging.getLogger(__name__)


def say(session: Session, job: JobRow, level: LineLevel, text: str, now: datetime) -> None:
    """Say a line, in the transaction that it tells of.

    The process's log gets it once that transaction is on disk: what was undone was not said.

    Args:
        session: a writing transaction, which has the job locked.
        job: whose line it is.
        level: how grave it is.
        text: in words that whoever may see the job may read: no paths, no addresses.
        now: the time.
    """
    job_lines.add(session, job.id, level, text, now)
    # Sums that are brought up to date every second are of no interest to who reads all logs.
    grave = _LEVELS[level] if job.kind == "publish" or level != "info" else logging.DEBUG
    fields = {"fields": {"job_id": job.id}}

    def tell(_session: Session) -> None:
        _log.log(grave, "%s", text, extra=fields)

    event.listen(session, "after_commit", tell, once=True)


class PhaseLog:
    """The phases that a job is in, told as they begin and end."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}

    def enter(self, phases: Iterable[str], clock: float) -> list[str]:
        """The job is in these phases, and no others, from now on.

        Args:
            phases: one, or one for each group that is computed at the same time.
            clock: seconds of a clock that only goes forward.

        Returns:
            What is to be said of it.
        """
        now = dict.fromkeys(phases)
        ended = [phase for phase in self._began if phase not in now]
        begun = [phase for phase in now if phase not in self._began]
        lines = [done(phase, clock - self._began.pop(phase)) for phase in ended]
        self._began |= dict.fromkeys(begun, clock)
        return lines + begun


def done(phase: str, seconds: float) -> str:
    """The line that tells of a phase's end."""
    return f"{phase}: done in {max(0.0, seconds):.1f} s"
