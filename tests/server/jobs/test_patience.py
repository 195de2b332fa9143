"""While the database or the storage is away: done again, given up when that is asked for."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_server.catalog.tables import JobRow
from sparsegrad_server.jobs.patience import patiently
from sparsegrad_server.jobs.queue import LeaseLost
from sparsegrad_server.jobs.worker import Worker
from sparsegrad_server.store.files import Staging
from sparsegrad_server.store.gradients import Array
from sparsegrad_server.store.local_bases import LocalBasisStore
from sparsegrad_server.store.local_gradients import LocalGradientStore
from sparsegrad_server.store.objects import StorageUnreachable
from sparsegrad_shared.calibrations import GradientForm, GroupSpec

Errors = OperationalError | InterfaceError | IntegrityError | LeaseLost | StorageUnreachable


class Database:
    """Answers each transaction with the next of some errors, then well."""

    def __init__(self, *errors: Errors) -> None:
        self._errors = list(errors)
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"


def away() -> OperationalError:
    return OperationalError("BEGIN", {}, ConnectionError("the server closed the connection"))


def test_a_transaction_is_done_again_until_the_database_is_back() -> None:
    database = Database(
        away(), InterfaceError("", {}, OSError("closed")), StorageUnreachable("no answer")
    )
    assert patiently(database, threading.Event()) == "done"
    assert database.asked == 4


@pytest.mark.parametrize(
    "error", [IntegrityError("INSERT", {}, ValueError("twice")), LeaseLost("another's")]
)
def test_what_would_fail_again_is_raised_at_once(error: Errors) -> None:
    database = Database(error)
    with pytest.raises(type(error)):
        patiently(database, threading.Event())
    assert database.asked == 1


def test_who_shall_stop_waits_no_longer() -> None:
    stop, database = threading.Event(), Database(*[away() for _ in range(99)])
    stop.set()
    with pytest.raises(OperationalError):
        patiently(database, stop)
    assert database.asked == 1


class Hides(threading.Event):
    """Has the database away for three of a job's steps; its return comes in the rest after one."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._file = bench.settings.data / "catalog.sqlite"
        self._aside = self._file.with_suffix(".away")
        self._bench = bench
        self.rests = 0
        self._steps = 0

    def is_set(self) -> bool:
        self._steps += 1
        if self._steps in (2, 5, 9):
            self._bench.catalog.close()
            self._file.rename(self._aside)
            self._file.mkdir()  # a file could be made anew, and opened
        return False

    def wait(self, timeout: float | None = None) -> bool:
        if self._aside.exists():
            self.rests += 1
            self._file.rmdir()
            self._aside.rename(self._file)
        return False


def test_a_job_outlasts_a_database_that_is_away_and_keeps_its_lease(bench: Workbench) -> None:
    group = group_of(gradients=10)
    calibration = bench.open(manifest_of([group]))
    bench.store_all(calibration, group)
    bench.work()
    job = bench.finish(calibration)
    hides = Hides(bench)
    assert bench.worker.work_once(hides)
    assert hides.rests >= 2
    assert bench.job(job).state == "done", bench.job(job)


class AwayGradients(LocalGradientStore):
    """Does not answer every other time that it is read."""

    asked = 0

    def read(
        self, calibration_id: str, group: GroupSpec, index: int, form: GradientForm
    ) -> dict[str, Array]:
        self.asked += 1
        if self.asked % 2:
            raise StorageUnreachable("it answered SlowDown")
        return super().read(calibration_id, group, index, form)


class AwayBases(LocalBasisStore):
    """Does not answer when it is first asked what it holds."""

    asked = 0

    def holds(self, digest: str) -> bool:
        self.asked += 1
        if self.asked == 1:
            raise StorageUnreachable("it answered SlowDown")
        return super().holds(digest)


class Rests(threading.Event):
    """Counts the rests, and makes them short; set from the one on that is named."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self._stop_at = stop_at
        self.count = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.count += 1
        if self.count == self._stop_at:
            self.set()
        return self.is_set()


def finished_on_unsteady_storage(bench: Workbench) -> tuple[str, Worker]:
    """The job of a calibration of 4 gradients, and a worker whose stores are away at times."""
    group = group_of(gradients=3, held_out=1)
    calibration = bench.open(manifest_of([group]))
    bench.store_all(calibration, group)
    bench.work()
    settings = bench.settings
    gradients = AwayGradients(settings.gradients_folder, Staging(settings.staging_folder))
    bases = AwayBases(settings.bases_folder, settings.partial_folder)
    return bench.finish(calibration), Worker(bench.catalog, gradients, bases, settings)


def test_a_job_outlasts_a_storage_that_is_away_in_its_first_attempt(bench: Workbench) -> None:
    job, worker = finished_on_unsteady_storage(bench)
    rests = Rests()
    assert worker.work_once(rests)
    assert bench.job(job).state == "done", bench.job(job)
    assert rests.count >= 3
    with bench.catalog.reading() as session:
        assert session.get_one(JobRow, job).attempts == 1


def test_a_worker_that_shall_stop_while_the_storage_is_away_gives_its_job_back_unharmed(
    bench: Workbench,
) -> None:
    job, worker = finished_on_unsteady_storage(bench)
    assert worker.work_once(Rests(stop_at=2))
    assert bench.job(job).state == "queued"
    with bench.catalog.reading() as session:
        assert session.get_one(JobRow, job).attempts == 0
