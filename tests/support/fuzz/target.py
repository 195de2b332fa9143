"""The server under fuzzing: the real command, with a worker, over real HTTP.

Its data folder lies in a folder of ours, beside a canary: whatever changes there was written by a
path that a request named.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from support.service import new_token

from sparsegrad_server.catalog import Catalog
from sparsegrad_server.settings import Settings

START_SECONDS = 120.0
BODY_SECONDS = 3.0
HEAD_SECONDS = 2.0
# Nothing but what is under test says no: no limits of rate, little patience with slow senders.
SETTINGS = {
    "requests_per_second": "1000000",
    "request_burst": "1000000",
    "failures_per_minute": "1000000",
    "body_seconds": str(BODY_SECONDS),
    "head_seconds": str(HEAD_SECONDS),
    "max_gradient_bytes": str(1 << 20),
    "max_request_bytes": str(1 << 18),
    "max_concurrent_uploads": "64",
    "min_free_bytes": "0",
    "poll_seconds": "0.2",
    "worker_threads": "1",
    "log_level": "warning",
}
# `httptools` and the loop say so of a peer that is gone; it is no fault of the server's.
_FAULTS = ("Traceback", " ERROR ", "ERROR:", "CRITICAL")


@dataclass(frozen=True)
class Memory:
    """What a process holds of the machine."""

    rss_bytes: int
    threads: int
    descriptors: int


@dataclass(frozen=True)
class Target:
    """A running server.

    Attributes:
        folder: holds the data folder, the canary and the server's log.
        settings: the server's.
        process: the server's.
        url: where it answers.
        tokens: a token by what it may do: `admin` (of all), `write`, `read` (of `team`).
    """

    folder: Path
    settings: Settings
    process: subprocess.Popen[str]
    url: str
    tokens: dict[str, str]

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    def memory(self) -> Memory:
        """What the server holds at this moment."""
        process = Path(f"/proc/{self.process.pid}")
        fields = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return Memory(
            rss_bytes=int(fields["VmRSS"].split()[0]) * 1024,
            threads=int(fields["Threads"]),
            descriptors=len(os.listdir(process / "fd")),  # noqa: PTH208 - names are all there is
        )

    def faults(self) -> list[str]:
        """Lines of the server's log that tell of a fault."""
        lines = (self.folder / "server.log").read_text(errors="replace").splitlines()
        return [line for line in lines if any(mark in line for mark in _FAULTS)]

    def outside(self) -> set[tuple[str, int, str]]:
        """What lies beside the data folder, and what is at its top that is not the server's own.

        Names, times of change and contents; two such sets differ where something was written.
        """
        canary = self.folder / "canary"
        found = {(path.name, 0, "") for path in self.folder.iterdir()}
        found |= {
            (path.name, 0, "") for path in self.settings.data.iterdir() if path.name not in _OWN
        }
        for path in canary.rglob("*"):
            text = path.read_text() if path.is_file() else ""
            found.add((str(path.relative_to(canary)), path.stat().st_mtime_ns, text))
        return found


# What the server may have at the top of its data folder.
_OWN = {"bases", "cache", "gradients", "imports", "partial", "staging", "workers"}
_OWN |= {f"catalog.sqlite{suffix}" for suffix in ("", "-shm", "-wal")} | {"embedded.token"}


@contextmanager
def running(folder: Path, **options: str) -> Iterator[Target]:
    """A server below `folder`, which is empty; `options` are further settings."""
    canary = folder / "canary"
    for name in ("etc/passwd", "zarr.json", "up/c.0.0.0", "gradients/zarr.json"):
        path = canary / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("canary")
    settings = Settings(data=folder / "data", **SETTINGS, **options)  # type: ignore[arg-type]
    command = [sys.executable, "-m", "sparsegrad_server", "serve", "--embedded", "--port", "0"]
    given = {**SETTINGS, **options, "data": str(settings.data)}
    environment = {f"SPARSEGRAD_{name.upper()}": value for name, value in given.items()}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
        )
    try:
        yield Target(folder, settings, process, _url(process, folder), _tokens(settings))
    finally:
        process.kill()
        process.communicate()


def _url(process: subprocess.Popen[str], folder: Path) -> str:
    watchdog = threading.Timer(START_SECONDS, process.kill)
    watchdog.start()
    line = next(iter(process.stdout or ()), "")
    watchdog.cancel()
    if not line:
        raise RuntimeError((folder / "server.log").read_text()[-4000:])
    return str(json.loads(line)["url"])


def _tokens(settings: Settings) -> dict[str, str]:
    catalog = Catalog(settings.catalog_address)
    try:
        return {
            "admin": new_token(catalog, "*", "admin"),
            "write": new_token(catalog, "team", "write"),
            "read": new_token(catalog, "team", "read"),
        }
    finally:
        catalog.close()
