"""A calibration as those see it who watch it: what has arrived, what its job is at, how fast."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from sparsegrad_shared.calibrations import CalibrationManifest, CalibrationState
from sparsegrad_shared.jobs import JobStatus

from ..catalog import Catalog, calibrations, jobs
from ..catalog.arrivals import Arrivals, count_arrivals
from .jobs import JobPace
from .looks import Looks
from .rates import Counter

MINUTE = 60.0
DRAWN_SECONDS = 120.0  # of the line of what arrived

Line = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class CalibrationSeen:
    """How a calibration is.

    Attributes:
        state: open, finished or expired.
        groups: what has arrived of each.
        job: the one that computes its basis, once it is finished.
        summing: the one that sums while gradients arrive, if there is one.
        ahead: jobs that a worker takes before `job`.
        bytes_per_second: over the last minute; None until there were two looks.
        arrival_seconds: until all have arrived, at the last minute's speed; None when unknown.
        phase_seconds: until the job's present phase ends, at its speed so far; likewise.
        line: bytes a second, as (seconds before now, bytes): not compared, since it always moves.
    """

    state: CalibrationState
    groups: tuple[Arrivals, ...]
    job: JobStatus | None
    summing: JobStatus | None
    ahead: int
    bytes_per_second: float | None = None
    arrival_seconds: float | None = None
    phase_seconds: float | None = None
    line: Line = field(default=(), compare=False)

    @property
    def stored(self) -> int:
        """Gradients that have arrived."""
        return sum(group.stored for group in self.groups)

    @property
    def expected(self) -> int:
        """Gradients that there will be."""
        return sum(group.expected for group in self.groups)

    @property
    def bytes(self) -> int:
        """Of all that has arrived."""
        return sum(group.bytes for group in self.groups)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.job.ended if self.job is not None else self.state == "expired"


class CalibrationWatch:
    """Looks at one calibration, and keeps what is needed to tell how fast it goes.

    Args:
        catalog: where to look.
        calibration_id: which one.
    """

    def __init__(self, catalog: Catalog, calibration_id: str) -> None:
        self._catalog = catalog
        self._id = calibration_id
        self._manifest: CalibrationManifest | None = None  # it never changes
        self._stored = Counter(DRAWN_SECONDS)
        self._bytes = Counter(DRAWN_SECONDS)
        self._pace = JobPace()

    def __call__(self) -> CalibrationSeen:
        """How it is now.

        Raises:
            UnknownCalibration: when it is not there.
        """
        with self._catalog.reading() as session:
            seen = self._look(session)
        clock = time.monotonic()
        self._stored.note(clock, seen.stored)
        self._bytes.note(clock, seen.bytes)
        arriving = seen.state == "open" and seen.stored < seen.expected
        return replace(
            seen,
            bytes_per_second=self._bytes.per_second(MINUTE),
            arrival_seconds=self._stored.seconds_left(seen.expected, MINUTE) if arriving else None,
            phase_seconds=None if seen.job is None else self._pace.seconds_left(seen.job, clock),
            line=tuple(self._bytes.line()),
        )

    def _look(self, session: Session) -> CalibrationSeen:
        row = calibrations.get(session, self._id)
        if self._manifest is None:
            self._manifest = calibrations.manifest_of(row)
        job = None if row.job_id is None else jobs.get(session, row.job_id)[0]
        summing = jobs.of_calibration(session, row.id, "accumulate")
        return CalibrationSeen(
            state=calibrations.state_of(row, datetime.now(UTC)),
            groups=count_arrivals(session, row.id, self._manifest.groups),
            job=None if job is None else jobs.status(session, job, row),
            summing=None if summing is None else jobs.status(session, summing, row),
            ahead=0 if job is None else jobs.count_ahead(session, job),
        )


def calibration_looks(catalog: Catalog) -> Looks[CalibrationSeen]:
    """The calibrations of a catalog that somebody watches."""

    def begin(calibration_id: str) -> Callable[[], CalibrationSeen]:
        return CalibrationWatch(catalog, calibration_id)

    return Looks(begin)
