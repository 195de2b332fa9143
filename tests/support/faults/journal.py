"""What a client was told, in a file of its own that outlives a kill: a line of JSON each."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Known:
    """What the client knows of one calibration.

    Attributes:
        id: the calibration's, once it was opened.
        acknowledged: digests of the gradients that are on the server's disk, by slot.
        job: the job that the finish started.
        digest: of the basis, once it is published.
    """

    id: str | None = None
    acknowledged: dict[tuple[str, int], str] = field(default_factory=dict)
    job: str | None = None
    digest: str | None = None


class Journal:
    """Lines that are on disk when `write` returns; threads may share it.

    Args:
        path: the file; made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        _cut_torn_line(path)
        self._file = path.open("ab", buffering=0)

    def write(self, **entry: Any) -> None:
        """Add a line."""
        with self._lock:
            self._file.write(json.dumps(entry).encode() + b"\n")
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> dict[int, Known]:
    """What was known at the end of the journal, by the calibration's number."""
    known: dict[int, Known] = {}
    for entry in _entries(path):
        about = known.setdefault(entry.pop("number"), Known())
        match entry:
            case {"id": identity}:
                about.id = identity
            case {"group": group, "index": index, "digest": digest}:
                about.acknowledged[group, index] = digest
            case {"job": job}:
                about.job = job
            case {"published": digest}:
                about.digest = digest
    return known


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    content = path.read_bytes() if path.exists() else b""
    # What follows the last line's end is a line that the kill cut off.
    for line in content.split(b"\n")[:-1]:
        yield json.loads(line)


def _cut_torn_line(path: Path) -> None:
    if path.exists():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)
