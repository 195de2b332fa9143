"""The worker that `serve` runs beside itself: a process of its own, started anew if it dies."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from types import TracebackType
from typing import Self

from pydantic import SecretStr

from ..settings import Settings

RESTART_SECONDS = 1.0
STOP_SECONDS = 15.0

_log = logging.getLogger(__name__)


class CompanionWorker:
    """A worker process for as long as the context lasts.

    Its standard input is a pipe of ours: when we die, however we die, it ends and the worker
    stops. It is spawned, never forked: a fork would share locks and BLAS threads.

    Args:
        settings: the server's.
    """

    def __init__(self, settings: Settings) -> None:
        self._environment = {**os.environ, **_environment(settings)}
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process = self._spawn()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Self:
        self._keeper.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ask_to_stop()
        self._keeper.join(STOP_SECONDS)
        if self._keeper.is_alive():
            self._process.kill()
            self._keeper.join()

    def ask_to_stop(self) -> None:
        """Have the worker give back its job and end, and start no other."""
        with self._lock:
            self._stopping.set()
        self._process.terminate()

    def _keep(self) -> None:
        while True:
            code = self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            if self._stopping.wait(RESTART_SECONDS):
                return
            _log.warning("the worker ended with code %d; starting another one", code)
            with self._lock:
                if self._stopping.is_set():
                    return
                try:
                    self._process = self._spawn()
                except OSError:  # no process or no memory to be had: the next round tries again
                    _log.exception("no worker could be started")

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "sparsegrad_server", "worker", "--until-input-ends"]
        # Its standard output is our standard error: ours may be read by a parent program.
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=sys.stderr, env=self._environment
        )


def _environment(settings: Settings) -> dict[str, str]:
    """What was set; in the worker's environment, since others may read a command line."""
    values = {name: getattr(settings, name) for name in settings.model_fields_set}
    return {
        f"SPARSEGRAD_{name.upper()}": _text(value)
        for name, value in values.items()
        if value is not None
    }


def _text(value: object) -> str:
    """A setting as the environment holds it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
