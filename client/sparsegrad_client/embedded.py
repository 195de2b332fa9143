"""The embedded server: the ordinary server as a child process, on loopback, over a local folder.

It is started when it is first needed and lives as long as this process: its standard input is a
pipe that closes when we end, however we end. Several processes may each have one over the same
folder. The client never imports the server; it is spoken to over HTTP like any other.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import threading
from collections import deque
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from sparsegrad_shared.errors import MissingExtra, ServerUnreachable

from .home import server_folder
from .service.config import ServiceConfig

START_SECONDS = 120.0  # a cold start on a busy machine imports for a while
STOP_SECONDS = 10.0
_NEEDED = ("sparsegrad_server", "fastapi", "uvicorn", "zarr", "sqlalchemy", "alembic")

_servers: dict[Path, EmbeddedServer] = {}
_lock = threading.Lock()


class EmbeddedServer:
    """A server of our own over a folder; a context manager, stopped at its end.

    Args:
        data: the data folder; made when it is not there.

    Raises:
        MissingExtra: when the server's packages are not installed.
        ServerUnreachable: when it does not start; says why, and where its log is.

    Attributes:
        config: how to reach it.
        token_file: where its token is, for its user alone.
        log: its log.
    """

    token_file: Path

    def __init__(self, data: Path) -> None:
        _check_installed()
        data.mkdir(parents=True, exist_ok=True)
        self.log = data / "server.log"
        self._process = _spawn(data, self.log)
        try:
            self.config = self._greeting()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process.poll() is None

    def wait(self) -> int:
        """Wait until it has ended; its exit code."""
        return self._process.wait()

    def stop(self) -> None:
        """Ask it to end by closing its standard input; insist when it does not."""
        for insist in (self._process.terminate, self._process.kill):
            try:
                self._process.communicate(timeout=STOP_SECONDS)  # closes its standard input
            except subprocess.TimeoutExpired:
                insist()
            else:
                return
        self._process.communicate()

    def _greeting(self) -> ServiceConfig:
        """Read the one line that it writes once it answers requests."""
        watchdog = threading.Timer(START_SECONDS, self._process.kill)
        watchdog.start()
        try:
            line = next(iter(self._process.stdout or ()), "")
        finally:
            watchdog.cancel()
        try:
            said = json.loads(line)
            self.token_file = Path(said["token_file"])
            return ServiceConfig(said["url"], self.token_file.read_text().strip())
        except (ValueError, KeyError, TypeError, OSError):
            raise ServerUnreachable(
                f"the embedded server did not start: {_last_line(self.log)} (its log: {self.log})"
            ) from None


def embedded_server() -> EmbeddedServer:
    """This process's server over `SPARSEGRAD_HOME`, started now if it does not run yet."""
    data = server_folder()
    with _lock:
        server = _servers.get(data)
        if server is None or not server.running:
            if server is not None:
                server.stop()
            server = _servers[data] = EmbeddedServer(data)
        return server


@atexit.register
def stop_embedded_servers() -> None:
    """Stop every server that `embedded_server` started."""
    with _lock:
        while _servers:
            _servers.popitem()[1].stop()


def _check_installed() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"the embedded server needs {', '.join(missing)}: pip install "
            "'sparsegrad-peft[server]', or name a server with SPARSEGRAD_SERVER"
        )


def _spawn(data: Path, log: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sparsegrad_server", "serve", "--embedded"]
    place = ["--data", str(data), "--host", "127.0.0.1", "--port", "0"]
    with log.open("a") as file:
        return subprocess.Popen(
            command + place,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            start_new_session=True,  # Ctrl-C is ours to handle: the server ends after us
        )


def _last_line(log: Path) -> str:
    """What a server said last, without its own "error: "."""
    with log.open(errors="replace") as file:
        last = "".join(deque((line for line in file if line.strip()), 1)).strip()
    return last.removeprefix("error: ") or "it said nothing"
