"""What a job has at hand while it runs, and how it tells how far it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.orm import Session

from sparsegrad_shared.calibrations import CalibrationManifest, GroupSpec
from sparsegrad_shared.jobs import LineLevel

from ..catalog import Catalog, calibrations, gradients
from ..catalog.tables import GradientRow
from ..settings import Settings
from ..store.bases import BasisStore
from ..store.files import Staging
from ..store.gradients import GradientStore
from ..store.objects import StorageUnreachable
from . import queue
from .gradients import Gradients
from .partial import PartialSums
from .patience import patiently
from .queue import Lease, LeaseLost
from .saying import PhaseLog, say

if TYPE_CHECKING:
    from .executors.base import Executor

Result = TypeVar("Result")

REPORT_SECONDS = 0.3  # between two writings of a job's progress


class Interrupted(Exception):
    """A computation cannot go on now; what it has so far is sound, and worth keeping."""


class Stopped(Interrupted):
    """The worker was asked to stop: the job is given back as it stands."""


class Monitor:
    """Where a job says how far it is, and hears that it must not go on.

    Args:
        catalog: where the job's row is.
        lease: the right to write there.
        stop: set when the worker shall stop.
        on_phase: called with each new phase.
    """

    def __init__(
        self,
        catalog: Catalog,
        lease: Lease,
        stop: threading.Event,
        on_phase: Callable[[str], None],
    ) -> None:
        self._catalog = catalog
        self._lease = lease
        self._stop = stop
        self._on_phase = on_phase
        self._lost = threading.Event()
        self._phase = ""
        self._phases = PhaseLog()
        self._written = 0.0

    def lose(self) -> None:
        """Have the job end at its next step, since its lease is another's."""
        self._lost.set()

    def step(
        self, phase: str, completed: int, total: int, parts: Sequence[str] | None = None
    ) -> None:
        """Tell how far the job is; written down when it is news, or a while has passed.

        Args:
            phase: what is being done, in words.
            completed: units of it that are done.
            total: units of it in all.
            parts: the phases that this one is made of, where several groups are under way.

        Raises:
            Stopped: when the worker shall stop.
            LeaseLost: when the job is another worker's by now.
        """
        if self._lost.is_set():
            raise LeaseLost(f"job {self._lease.job_id} is another worker's by now")
        if self._stop.is_set():
            raise Stopped
        now = time.monotonic()
        if phase == self._phase and now - self._written < REPORT_SECONDS:
            return
        lines: list[str] = []
        if phase != self._phase:
            self._on_phase(phase)
            lines = self._phases.enter([phase] if parts is None else parts, now)
        self.write(
            lambda session: queue.report(
                session, self._lease, phase, completed, total, datetime.now(UTC), lines
            )
        )
        self._phase, self._written = phase, now

    def say(self, level: LineLevel, text: str) -> None:
        """Say a line of the job's log.

        Raises:
            LeaseLost: when the job is another worker's by now.
        """

        def transact(session: Session) -> None:
            say(session, queue.held(session, self._lease), level, text, datetime.now(UTC))

        self.write(transact)

    def wait(self, seconds: float) -> None:
        """Let some time pass, but no more once the worker shall stop."""
        self._stop.wait(seconds)

    def write(self, transact: Callable[[Session], Result]) -> Result:
        """A writing transaction, done again while the database is away; see `patiently`."""

        def whole() -> Result:
            with self._catalog.writing() as session:
                return transact(session)

        return self.patiently(whole)

    def read(self, transact: Callable[[Session], Result]) -> Result:
        """A reading transaction, likewise."""

        def whole() -> Result:
            with self._catalog.reading() as session:
                return transact(session)

        return self.patiently(whole)

    def patiently(self, act: Callable[[], Result]) -> Result:
        """Do something again while the database or the storage is away; see `patience`.

        Raises:
            Stopped: when the worker shall stop while the storage is away.
        """
        try:
            return patiently(act, self._stop)
        except StorageUnreachable:
            if self._stop.is_set():
                raise Stopped from None
            raise


@dataclass(frozen=True)
class Work:
    """A leased job with its calibration, and the parts of the server that it needs."""

    lease: Lease
    catalog: Catalog
    gradients: GradientStore
    bases: BasisStore
    settings: Settings
    monitor: Monitor
    executor: Executor

    @property
    def calibration_id(self) -> str:
        """The calibration that the job is for."""
        return self.lease.calibration_id

    @property
    def folder(self) -> Path:
        """What the calibration's jobs leave for one another."""
        return self.settings.partial_folder / self.calibration_id

    @cached_property
    def manifest(self) -> CalibrationManifest:
        """The calibration's manifest."""
        return self.monitor.read(
            lambda session: calibrations.manifest_of(calibrations.get(session, self.calibration_id))
        )

    @cached_property
    def partials(self) -> PartialSums:
        """The calibration's partial sums."""
        staging = Staging(self.folder / "staging")
        staging.sweep(timedelta(0), datetime.now(UTC))  # of workers that died: we are alone here
        return PartialSums(
            self.folder / "sums", staging, lambda text: self.monitor.say("warning", text)
        )

    def rows(self, group: GroupSpec) -> list[GradientRow]:
        """The stored gradients of a group, fitted and held out, rising by index."""
        return self.monitor.read(
            lambda session: gradients.stored(session, self.calibration_id, group.name)
        )

    def gradients_of(self, group: GroupSpec) -> Gradients:
        """The stored gradients of a group; reading one outlasts a storage that is away."""
        return Gradients(self.gradients, self.calibration_id, group, self.monitor.patiently)

    def write(self, transact: Callable[[Session], Result]) -> Result:
        """A writing transaction that outlasts a database that is away for a while."""
        return self.monitor.write(transact)
