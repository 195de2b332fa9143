"""Transactions while the database is away: done again, and given up when that is asked for."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_server.jobs.patience import patiently
from sparsegrad_server.jobs.queue import LeaseLost

Errors = OperationalError | InterfaceError | IntegrityError | LeaseLost


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
    database = Database(away(), InterfaceError("", {}, OSError("closed")), away())
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
