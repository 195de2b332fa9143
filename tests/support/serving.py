"""`sparsegrad-server serve` as people run it: a process, its log, its signals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from sparsegrad_server.auth import tokens
from sparsegrad_server.catalog import Catalog
from sparsegrad_server.settings import Settings
from sparsegrad_shared.tokens import Scope

PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.05


def until(condition: Callable[[], bool]) -> bool:
    """Whether a condition becomes true while there is patience."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_SECONDS / LOOK_SECONDS)):
        if condition():
            return True
        pause.wait(LOOK_SECONDS)
    return False


class Log:
    """The lines that a process writes, as they come."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()

    def add(self, line: str) -> None:
        """A line has come."""
        with self._news:
            self.lines.append(line)
            self._news.notify_all()

    def find(self, pattern: str) -> re.Match[str]:
        """The first line that matches, waited for."""
        with self._news:
            self._news.wait_for(lambda: self._first(pattern) is not None, PATIENCE_SECONDS)
            found = self._first(pattern)
        assert found is not None, (pattern, self.lines)
        return found

    def _first(self, pattern: str) -> re.Match[str] | None:
        return next(filter(None, (re.search(pattern, line) for line in self.lines)), None)


class Serving:
    """A running `serve`.

    Args:
        data: the data folder.
        worker: whether it runs its jobs too.
        settings: settings that differ from the defaults, as the environment has them.
    """

    def __init__(self, data: Path, *, worker: bool = False, **settings: object) -> None:
        settings = {"min_free_bytes": 0, **settings}
        named = {f"SPARSEGRAD_{name.upper()}": str(value) for name, value in settings.items()}
        self.catalog = Catalog(Settings(data=data).catalog_address)
        self.log = Log()
        serve = [sys.executable, "-m", "sparsegrad_server", "serve", "--port", "0"]
        self.process = subprocess.Popen(
            serve if worker else [*serve, "--no-worker"],
            env=os.environ | named | {"SPARSEGRAD_DATA": str(data), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.url = self.log.find(r"answering at (https?://[^;]+);")[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.catalog.close()

    def token(self, namespace: str = "team", scope: Scope = "write") -> str:
        """A new token."""
        with self.catalog.writing() as session:
            return tokens.create(session, "tests", namespace, scope, datetime.now(UTC)).secret

    def client(self, namespace: str = "team", scope: Scope = "write") -> httpx.Client:
        """A client with a new token."""
        headers = {"Authorization": f"Bearer {self.token(namespace, scope)}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.log.add(line.rstrip("\n"))
