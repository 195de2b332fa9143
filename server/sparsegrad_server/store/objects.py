"""Object storage (S3-compatible): bytes under keys, written whole or not at all.

An absent object is `FileNotFoundError`; any other failure is `StorageUnreachable`. One is never
taken for the other: a missing bucket is not a bucket in which everything is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from .footprint import Footprint

if TYPE_CHECKING:
    from obstore import WritableFile

PART_BYTES = 8 << 20  # S3 takes parts from 5 MiB on, and at most 10,000 of them: 80 GB a file
PARTS_AT_ONCE = 3
PIECE_BYTES = 1 << 20
CONNECT = timedelta(seconds=5)
SILENCE = timedelta(seconds=30)  # in which no byte of an answer comes
WHOLE = timedelta(hours=6)  # for one answer, however large it is and slow its way
RETRY_FOR = timedelta(seconds=20)  # shorter than a lease, and than a writer waits for another one
RETRIES = 5

_CODE = re.compile(r"<Code>(\w+)</Code>")
_NO_BUCKET = "<Code>NoSuchBucket</Code>"


class StorageUnreachable(OSError):
    """Object storage does not answer, or not as it should."""


@dataclass(frozen=True)
class Entry:
    """An object in a listing.

    Attributes:
        key: below the prefix.
        bytes: of its content.
        changed: when it was written.
    """

    key: str
    bytes: int
    changed: datetime


class Upload:
    """An object that is being sent: there, whole, when `finish` returns, and not before."""

    def __init__(self, writer: WritableFile) -> None:
        self._writer = writer

    def write(self, pieces: Iterable[bytes | memoryview]) -> None:
        """Send bytes on; all but the last part is on its way before the end."""
        with _failures():
            for piece in pieces:
                self._writer.write(piece)

    def finish(self) -> None:
        """Put the object in its place, instead of what is there. One short request."""
        with _failures():
            self._writer.close()


class Objects:
    """The objects of a bucket whose keys begin with a prefix.

    Args:
        store: the bucket and the prefix.
    """

    def __init__(self, store: S3Store) -> None:
        self._store = store

    def read(self, key: str) -> memoryview:
        """An object's bytes.

        Raises:
            FileNotFoundError: when there is none.
        """
        with _failures():
            return memoryview(obstore.get(self._store, key).bytes())

    def pieces(self, key: str) -> Iterator[bytes]:
        """An object's bytes, piece by piece.

        Raises:
            FileNotFoundError: when there is none.
        """
        with _failures():
            yield from obstore.get(self._store, key).stream(min_chunk_size=PIECE_BYTES)

    def write(self, key: str, content: bytes) -> None:
        """Write a small object."""
        with _failures():
            obstore.put(self._store, key, content, use_multipart=False)

    def send(self, key: str, path: Path) -> None:
        """Write an object of a file's bytes."""
        with self.upload(key) as upload, path.open("rb") as file:
            upload.write(iter(lambda: file.read(PIECE_BYTES), b""))
            upload.finish()

    @contextmanager
    def upload(self, key: str) -> Iterator[Upload]:
        """Begin an object; what was not finished when the context ends is thrown away."""
        with _failures():
            writer = obstore.open_writer(
                self._store, key, buffer_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            )
        try:
            yield Upload(writer)
        finally:
            if not writer.closed():
                # Told of an error, it has the parts that were sent removed. That this may fail too
                # is nothing to the caller, who hears of the first error.
                with suppress(StorageUnreachable), _failures():
                    writer.__exit__(GeneratorExit, GeneratorExit(), None)

    def folders(self) -> Iterator[str]:
        """The first parts of the keys that have several."""
        with _failures():
            listed = obstore.list_with_delimiter(self._store)
        return iter(listed["common_prefixes"])

    def entries(self, folder: str | None = None) -> Iterator[Entry]:
        """The objects of a folder, or all, in the order of their keys."""
        with _failures():
            for page in obstore.list(self._store, folder):
                for found in page:
                    yield Entry(found["path"], found["size"], found["last_modified"])

    def footprint(self, folder: str) -> Footprint:
        """What the objects of a folder take up."""
        entries = list(self.entries(folder))
        changed = max((entry.changed for entry in entries), default=datetime.fromtimestamp(0, UTC))
        return Footprint(sum(entry.bytes for entry in entries), changed)

    def delete_folder(self, folder: str) -> None:
        """Delete the objects of a folder."""
        self.delete(entry.key for entry in self.entries(folder))

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, as far as they are there."""
        with _failures():
            obstore.delete(self._store, list(keys))


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        if _NO_BUCKET in str(error):
            raise StorageUnreachable(_said(error)) from error
        raise
    except BaseError as error:
        raise StorageUnreachable(_said(error)) from error


def _said(error: Exception) -> str:
    """The service's own code for what is wrong, or else what went wrong on the way to it."""
    code = _CODE.search(str(error))
    reason = f"it answered {code[1]}" if code else str(error).partition("\n")[0]
    return f"object storage: {reason}; see storage_url and the settings beside it"
