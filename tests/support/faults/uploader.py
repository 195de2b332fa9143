"""The client of the tests of faults: opens, uploads, finishes and waits, several at a time.

It writes down whatever the server has acknowledged. Started anew after a kill it goes on from
there, and asks the server which gradients it has: one that was acknowledged and is not there ends
it with an error.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from sparsegrad_client.service import BasisService
from sparsegrad_shared.errors import ServerUnreachable

from .contents import Contents
from .journal import Journal, Known, read

AT_A_TIME = 4  # calibrations
PAUSE_SECONDS = 0.1  # before a server that does not answer is tried again
STOP_FILE = "stop"  # once it is there, no further calibration is begun
JOURNAL_FILE = "journal.jsonl"

T = TypeVar("T")


class AcknowledgedIsLost(AssertionError):
    """The one thing that must never happen."""


def upload_all(url: str, token: str, folder: Path, contents: Contents, most: int | None) -> None:
    """Calibrate number after number, until `most` are done or the stop file is there."""
    known = read(folder / JOURNAL_FILE)
    todo = [number for number in sorted(known) if known[number].digest is None]
    fresh = max(known, default=-1) + 1
    client = Client(url, token, Journal(folder / JOURNAL_FILE), contents)
    lock = threading.Lock()

    def next_number() -> int | None:
        nonlocal fresh
        with lock:
            if todo:
                return todo.pop(0)
            if fresh == most or (folder / STOP_FILE).exists():
                return None
            fresh += 1
            return fresh - 1

    def work() -> None:
        while (number := next_number()) is not None:
            client.calibrate(number, known.get(number, Known()))

    with ThreadPoolExecutor(AT_A_TIME) as threads:
        ended = wait([threads.submit(work) for _ in range(AT_A_TIME)], return_when=FIRST_EXCEPTION)
        for future in ended.done:
            if (error := future.exception()) is not None:
                traceback.print_exception(error)
                sys.stderr.flush()
                os._exit(1)  # the other threads would go on for as long as there is work


class Client:
    """One client; threads may share it.

    Args:
        url: where the server is.
        token: for the namespace `team`.
        journal: where it writes down what it was told.
        contents: what it sends.
    """

    def __init__(self, url: str, token: str, journal: Journal, contents: Contents) -> None:
        self._service = BasisService(url, token)
        self._journal = journal
        self._contents = contents
        self._pause = threading.Event()

    def close(self) -> None:
        """Close the connections."""
        self._service.close()
        self._journal.close()

    def calibrate(self, number: int, known: Known) -> None:
        """Go on with a calibration from what is known of it, until its basis is published."""
        calibration = known.id or self.open(number)
        job = known.job
        if job is None:
            self.send(number, calibration, known)
            job = self.finish(number, calibration)
        while (digest := self._published(job)) is None:
            job = self.finish(number, calibration)  # its workers were killed too often
        self._journal.write(number=number, published=digest)

    def open(self, number: int) -> str:
        """Open a calibration; its id."""
        manifest = self._contents.manifest(number)
        calibration = self._insist(lambda: self._service.create_calibration(manifest)).id
        self._journal.write(number=number, id=calibration)
        return calibration

    def send(self, number: int, calibration: str, known: Known) -> None:
        """Send the gradients that the server has not got."""
        status = self._insist(lambda: self._service.calibration_status(calibration))
        arrived = {(group.name, index) for group in status.groups for index in group.arrived}
        if lost := known.acknowledged.keys() - arrived:
            raise AcknowledgedIsLost(f"calibration {calibration}: {sorted(lost)}")
        for group, index in self._contents.slots(number):
            frame = self._contents.frame(number, group, index)
            if (group, index) not in arrived:
                self._insist(
                    lambda slot=(group, index), frame=frame: self._service.put_gradient(
                        calibration, *slot, frame
                    )
                )
            if (group, index) not in known.acknowledged:
                self._journal.write(number=number, group=group, index=index, digest=frame.digest())

    def finish(self, number: int, calibration: str) -> str:
        """Finish a calibration; the job's id."""
        job = self._insist(lambda: self._service.finish(calibration)).id
        self._journal.write(number=number, job=job)
        return job

    def _published(self, job: str) -> str | None:
        """The basis's digest once the job is done; None when it failed."""
        status = self._insist(lambda: list(self._service.watch_job(job)))[-1]
        if status.state == "failed":
            assert status.error is not None
            assert "workers were lost" in status.error.detail, status.error
            return None
        assert status.basis is not None
        return status.basis.digest

    def _insist(self, call: Callable[[], T]) -> T:
        while True:
            try:
                return call()
            except ServerUnreachable:
                self._pause.wait(PAUSE_SECONDS)
