"""Calibrations of MiniLM that stop, or wait, where a test wants them to."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from sparsegrad_client import Basis
from sparsegrad_client.calibration.run import COLLECTING, Progress

from .minilm import calibrate_minilm, task
from .serving import PATIENCE_SECONDS


class Stopped(Exception):
    """What somebody does who presses Ctrl-C."""


def stopping_at(step: int) -> Progress:
    """A progress that stops a calibration before a step; it stays open."""

    def progress(phase: str, completed: int, total: int) -> None:
        if phase == COLLECTING and completed == step:
            raise Stopped

    return progress


class Stepping:
    """A calibration in a thread of its own, which waits for leave before every step.

    Args:
        server: the server's address.
        token: proves who calibrates.
        name: what to publish as.
    """

    STEPS = 6  # those to fit on, and those to judge on

    def __init__(self, server: str, token: str, name: str) -> None:
        self._to = server, token, name
        self._begun = threading.Event()
        self._leave = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run)
        self._error: BaseException | None = None
        self.basis: Basis | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        begun = self._begun.wait(PATIENCE_SECONDS)
        assert self._error is None, self._error
        assert begun, "the calibration has not begun"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.go_on(self.STEPS)
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def go_on(self, steps: int) -> None:
        """Give leave for so many steps more."""
        self._leave.release(steps)

    def _run(self) -> None:
        try:
            self.basis = calibrate_minilm(task(), *self._to, rank=32, progress=self._progress)
        except BaseException as error:  # noqa: BLE001 - raised again where the test is
            self._error = error
        finally:
            self._begun.set()

    def _progress(self, phase: str, completed: int, total: int) -> None:
        if phase != COLLECTING or completed == total:
            return
        self._begun.set()
        if not self._leave.acquire(timeout=PATIENCE_SECONDS):
            raise TimeoutError("nobody gave leave to go on")
