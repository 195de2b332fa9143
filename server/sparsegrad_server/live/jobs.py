"""How fast a job goes."""

from __future__ import annotations

from sparsegrad_shared.jobs import JobStatus

from .rates import Counter


class JobPace:
    """The speed of a job's present phase, from the looks at it."""

    def __init__(self) -> None:
        self._phase: tuple[str, int] | None = None
        self._completed = Counter()

    def seconds_left(self, job: JobStatus, clock: float) -> float | None:
        """When the phase ends, at its speed since it was first seen; None when unknown.

        Args:
            job: how it is now.
            clock: seconds of a clock that only goes forward.
        """
        phase = (job.phase, job.total)
        if phase != self._phase:
            self._phase, self._completed = phase, Counter()
        if job.state != "leased":
            return None
        self._completed.note(clock, job.completed)
        return self._completed.seconds_left(job.total)
