"""Bases in the making, in a local folder that nobody reads.

::

    <drafts>/<key>/draft/<random>/      the files of one draft
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sparsegrad_shared.bases import FileEntry

from .files import Staging, flush


@contextmanager
def draft_folder(drafts: Path, key: str) -> Iterator[Path]:
    """A folder for a draft, removed at the end if it is still there.

    What an earlier draft of the same key has left behind goes first.
    """
    staging = Staging(drafts / key / "draft")
    staging.sweep(timedelta(0), datetime.now(UTC))
    with staging.path() as folder:
        folder.mkdir()
        yield folder


def add_file(folder: Path, name: str, pieces: Iterable[bytes | memoryview]) -> FileEntry:
    """Write a file of a draft; it is on disk when this returns."""
    path = folder / name
    hasher = hashlib.sha256()
    with path.open("xb") as file:
        for piece in pieces:
            hasher.update(piece)
            file.write(piece)
    flush(path)
    digest = f"sha256:{hasher.hexdigest()}"
    return FileEntry(name=name, digest=digest, bytes=path.stat().st_size)
