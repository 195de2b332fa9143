"""Copies of files that are kept elsewhere, in a local folder of bounded size.

A file's bytes never change, so a copy is good for ever; its digest is checked on the way in. The
copies that have not been used for the longest go when there are too many bytes.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from weakref import WeakValueDictionary

from sparsegrad_shared.errors import CorruptFile

from .files import Staging, flush, make_folder, place

# Whoever asked for a file opens it within this time; from then on its removal does no harm.
IN_USE_SECONDS = 60.0
_DEAD = timedelta(days=1)  # what is half-filled after so long, nobody fills any more


class FileCache:
    """Copies below a folder.

    Args:
        folder: it; made when it is not there.
        limit: bytes that all copies together may have, but for those that were just asked for.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._files = folder / "files"
        self._staging = Staging(folder / "staging")
        self._staging.sweep(_DEAD, datetime.now(UTC))
        make_folder(self._files)
        self._limit = limit
        self._lock = threading.Lock()
        self._turns: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    def get(self, name: str, digest: str, pieces: Iterable[bytes]) -> Path:
        """The copy of a file, made of `pieces` when there is none.

        Args:
            name: how messages call it.
            digest: of its bytes.
            pieces: its bytes; not touched when there is a copy.

        Raises:
            CorruptFile: when the bytes have another digest; names both.
        """
        path = self._path(digest)
        with self._lock:
            turn = self._turns.setdefault(digest, threading.Lock())
        with turn:  # of several that ask for the same file, one fetches it
            if not _used_now(path):
                self._fill(path, name, digest, pieces)
        return path

    def drop(self, digest: str) -> None:
        """Remove a copy, if there is one."""
        self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._files / digest.removeprefix("sha256:")

    def _fill(self, path: Path, name: str, digest: str, pieces: Iterable[bytes]) -> None:
        with self._staging.path() as staged:
            hasher = hashlib.sha256()
            with staged.open("xb") as file:
                for piece in pieces:
                    hasher.update(piece)
                    file.write(piece)
            found = f"sha256:{hasher.hexdigest()}"
            if found != digest:
                raise CorruptFile(
                    f"{name}: expected {digest}, found {found}; put it back from a copy"
                )
            flush(staged)
            self._make_room(staged.stat().st_size)
            place(staged, path)

    def _make_room(self, size: int) -> None:
        copies = sorted(self._copies())
        total = size + sum(bytes_held for _, bytes_held, _ in copies)
        unused_since = time.time() - IN_USE_SECONDS
        for used, bytes_held, path in copies:
            if total <= self._limit or used > unused_since:
                return
            path.unlink(missing_ok=True)
            total -= bytes_held

    def _copies(self) -> Iterator[tuple[float, int, Path]]:
        """When each copy was used last, its bytes, its path."""
        for path in self._files.iterdir():
            with suppress(FileNotFoundError):  # another process was quicker
                status = path.stat()
                yield status.st_mtime, status.st_size, path


def _used_now(path: Path) -> bool:
    """Mark a copy as used; False when there is none."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True
