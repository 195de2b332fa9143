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
