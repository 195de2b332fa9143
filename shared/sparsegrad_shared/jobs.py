"""A job, as client and server speak of it: work that outlasts a request."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from .bases import PublishedVersion
from .calibrations import Answer
from .errors import Problem
from .references import Segment

JobState = Literal["queued", "leased", "done", "failed"]
LineLevel = Literal["info", "warning", "error"]
JOB_EVENT = "job"  # the server-sent event that carries a JobStatus


class JobStatus(Answer):
    """A job's present state.

    Attributes:
        id: the job's id.
        calibration: the calibration whose basis it computes.
        state: queued, leased (a worker has it), done or failed.
        phase: what is being done, in words.
        completed: units of the phase that are done.
        total: units of the phase in all.
        error: why it failed.
        basis: what it published.
    """

    id: Segment
    calibration: Segment
    state: JobState
    phase: str
    completed: int
    total: int
    created: datetime
    updated: datetime
    error: Problem | None = None
    basis: PublishedVersion | None = Field(default=None)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("done", "failed")


class JobLine(Answer):
    """Something that a job said.

    Attributes:
        number: of the line, rising; where numbers are missing, lines were left out.
        at: when it was said.
        level: how grave it is.
        text: in words.
    """

    number: int
    at: datetime
    level: LineLevel
    text: str


class JobLog(Answer):
    """A page of what a job said, oldest first.

    Attributes:
        lines: the lines.
        left_out: lines that were here and are not kept, since the job said too much.
        next: `after` of the next page; none when there is nothing further so far.
    """

    lines: tuple[JobLine, ...]
    left_out: int = 0
    next: int | None = None
