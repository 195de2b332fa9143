"""Bodies in pieces: a frame or a file on its way out, a file on its way in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from sparsegrad_shared.errors import CorruptFile
from sparsegrad_shared.framing import PIECE_BYTES

from .calls import Pieces, Save


@dataclass(frozen=True)
class FilePart:
    """A part of a file on its way out; can be read again for another attempt.

    Attributes:
        path: the file.
        offset: bytes before the part.
        size: bytes of the part.
    """

    path: Path
    offset: int
    size: int

    def __iter__(self) -> Iterator[bytes]:
        """Read it, piece by piece.

        Raises:
            CorruptFile: when the file has become shorter.
        """
        left = self.size
        with self.path.open("rb") as file:
            file.seek(self.offset)
            while left:
                piece = file.read(min(left, PIECE_BYTES))
                if not piece:
                    raise CorruptFile(f"{self.path}: it ends {left} bytes too early")
                left -= len(piece)
                yield piece


class OutgoingPieces:
    """A body's pieces for httpx, which takes `bytes`; can be read again for another attempt."""

    def __init__(self, body: Pieces) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            yield bytes(piece)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The same for an asynchronous client."""
        for piece in self:
            yield piece


class IncomingFile:
    """A body that is written to a file, hashed on the way, and on disk when `digest` is asked for.

    Raises:
        CorruptFile: when more bytes come than the file has.
    """

    def __init__(self, save: Save) -> None:
        self._save = save
        self._hasher = hashlib.sha256()
        self._bytes = 0

    def __enter__(self) -> Self:
        self._file = self._save.path.open("wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, piece: bytes) -> None:
        """Take the next piece."""
        self._bytes += len(piece)
        if self._bytes > self._save.max_bytes:
            raise CorruptFile(
                f"{self._save.path.name}: expected {self._save.max_bytes} bytes, more came; "
                "the file is damaged on the server"
            )
        self._hasher.update(piece)
        self._file.write(piece)
        self._save.on_bytes(self._bytes)

    def digest(self) -> str:
        """The digest of what came, once it is on disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return f"sha256:{self._hasher.hexdigest()}"
