"""A job in words and bars: pure, from what was seen of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sparsegrad_shared.errors import Problem
from sparsegrad_shared.jobs import JobLine, JobStatus

from ..catalog.tables import CalibrationRow, JobRow
from ..jobs.queue import MAX_ATTEMPTS
from .live import Live, LogLine
from .words import duration, number

KINDS = {"publish": "Compute and publish a basis", "accumulate": "Sum gradients as they arrive"}
STATES = {"queued": "queued", "leased": "at work", "done": "done", "failed": "failed"}


@dataclass(frozen=True)
class JobSeen:
    """How a job is, and what it has said since the look before.

    Attributes:
        status: as the interface answers it.
        kind: publish or accumulate.
        attempts: leases so far.
        worker: who has it.
        leased_until: until when, if no heartbeat comes; while it is queued, when it has rested.
        phase_seconds: until its phase ends, at the speed so far; None when unknown.
        lines: new lines of its log.
    """

    status: JobStatus
    kind: str
    attempts: int
    worker: str | None
    leased_until: datetime | None
    phase_seconds: float | None = None
    lines: tuple[JobLine, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status.ended

    @classmethod
    def of(cls, row: JobRow, status: JobStatus) -> JobSeen:
        """How a row is."""
        return cls(status, row.kind, row.attempts, row.worker, row.leased_until)


@dataclass(frozen=True)
class ListedJob:
    """A job as the list shows it."""

    id: str
    title: str
    calibration: str
    name: str
    state: str
    words: str
    about: str
    progress: tuple[int, int] | None
    updated: datetime


def listed(row: JobRow, calibration: CalibrationRow, now: datetime) -> ListedJob:
    """A job of the list."""
    leased = row.state == "leased"
    return ListedJob(
        id=row.id,
        title=KINDS[row.kind],
        calibration=calibration.id,
        name=f"{calibration.namespace}/{calibration.name}",
        state=row.state,
        words=STATES[row.state],
        about=_line(row, now),
        progress=(row.completed, row.total) if leased and row.total > 1 else None,
        updated=row.updated,
    )


def live(seen: JobSeen, now: datetime) -> Live:
    """What the page of a job shows of it."""
    status = seen.status
    counted = status.state == "leased" and status.total > 1
    return Live(
        texts={
            "state": STATES[status.state],
            "phase": _phase(seen),
            "error": "" if status.error is None else status.error.detail,
            "attempt": _attempt(seen),
            "worker": _worker(seen, now),
        },
        bars={"phase": (status.completed, status.total) if counted else None},
        states={"job": status.state},
        shown={
            "bar": status.state == "leased",
            "basis": status.basis is not None,
            "failed": status.state == "failed",
        },
        links={
            "basis": ""
            if status.basis is None
            else f"/bases/{status.basis.name}/{status.basis.version}"
        },
        lines=log_lines(seen.lines),
        said=f"The job is {STATES[status.state]}",
    )


def log_lines(lines: Iterable[JobLine]) -> tuple[LogLine, ...]:
    """Lines of a log, as they are shown."""
    return tuple(
        LogLine(
            number=line.number,
            at=line.at.isoformat(timespec="seconds"),
            time=f"{line.at:%H:%M:%S}",
            level=line.level,
            text=line.text,
        )
        for line in lines
    )


def _phase(seen: JobSeen) -> str:
    status = seen.status
    if status.state == "failed":
        return f"failed while {status.phase}"
    words = [status.phase]
    if status.state == "leased" and status.total > 1:
        words.append(f"{number(status.completed)} of {number(status.total)}")
    if seen.phase_seconds is not None:
        words.append(f"about {duration(seen.phase_seconds)} left of this phase")
    return " · ".join(words)


def _attempt(seen: JobSeen) -> str:
    if seen.attempts == 0:
        return f"none yet, of at most {MAX_ATTEMPTS}"
    return f"{seen.attempts} of at most {MAX_ATTEMPTS}"


def _worker(seen: JobSeen, now: datetime) -> str:
    if seen.status.state == "queued":
        if seen.leased_until is not None and seen.leased_until > now:
            rest = duration((seen.leased_until - now).total_seconds())
            return f"tried again in {rest}, after an error"
        return "none yet: the next one that is free takes it"
    if seen.worker is None or seen.leased_until is None:
        return "none: it has ended"
    return f"{seen.worker}, {_heartbeat(seen.leased_until, now)}"


def _line(row: JobRow, now: datetime) -> str:
    """What the list says below a job's title."""
    if row.state == "failed" and row.error is not None:
        return Problem.model_validate_json(row.error).detail
    if row.state == "leased" and row.leased_until is not None:
        return f"{row.phase}; worker {row.worker}, {_heartbeat(row.leased_until, now)}"
    return row.phase if row.state == "queued" else ""


def _heartbeat(leased_until: datetime, now: datetime) -> str:
    left = (leased_until - now).total_seconds()
    if left <= 0:
        return "silent: its lease has run out, and another worker takes the job"
    return f"whose lease holds for {duration(left)} without a heartbeat"
