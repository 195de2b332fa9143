"""Where a body is kept while it comes: in memory, or, when that is promised away, in a file.

A body in memory is written there by the connection itself where it can (see
`serving.protocol`), and hashed once it is whole, in the thread that checks it: while it comes, no
thread is asked for. One in a file is hashed and written piece by piece, in threads, and later
mapped, so that it is read from the disk only where it is looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.types import Scope

from ..store.files import Staging

# The extension of the ASGI scope by which a connection writes a body into memory of ours: a map
# with `deliver`, which takes a memoryview of the body's size, or None to end that.
BODY_INTO = "sparsegrad.body_into"
_Deliver = Callable[[memoryview | None], None]
BUFFER_BYTES = 1 << 20  # what is gathered before a thread hashes and writes it


class Body(Protocol):
    """A body of a size that is known beforehand. Nobody appends more than that."""

    async def append(self, piece: bytes | memoryview) -> None:
        """Take the next piece."""

    async def close(self) -> None:
        """No more will come."""

    def content(self) -> memoryview:
        """What came, once it is whole."""

    def digest(self) -> str:
        """The digest ``sha256:<hex>`` of what came, once it is whole. Takes its time."""


@contextmanager
def new_body(request: Request, size: int, staging: Staging, *, in_memory: bool) -> Iterator[Body]:
    """A place for the `size` bytes of a request's body, for as long as the context lasts."""
    if in_memory:
        with _Memory(size, request.scope) as memory:
            yield memory
        return
    with staging.path() as path, _File(path) as body:
        yield body


class _Memory:
    def __init__(self, size: int, scope: Scope) -> None:
        self._content = np.empty(size, np.uint8).data
        self._received = 0
        extension = scope.get("extensions", {}).get(BODY_INTO)
        self._deliver: Callable[[memoryview | None], None] | None = (
            extension and extension["deliver"]
        )

    def __enter__(self) -> Self:
        if self._deliver is not None:
            self._deliver(self._content)
        return self

    def __exit__(self, *_: object) -> None:
        if self._deliver is not None:
            self._deliver(None)

    async def append(self, piece: bytes | memoryview) -> None:
        end = self._received + len(piece)
        if self._deliver is None:  # otherwise it is there already
            self._content[self._received : end] = piece
        self._received = end

    async def close(self) -> None:
        pass

    def content(self) -> memoryview:
        return self._content

    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self._content).hexdigest()}"


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb")
        self._hasher = hashlib.sha256()
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    async def append(self, piece: bytes | memoryview) -> None:
        self._buffer += piece
        if len(self._buffer) >= BUFFER_BYTES:
            full, self._buffer = self._buffer, bytearray()
            await run_sync(self._write, full)

    async def close(self) -> None:
        await run_sync(self._write, self._buffer)

    def content(self) -> memoryview:
        if self._path.stat().st_size == 0:  # which cannot be mapped
            return memoryview(b"")
        return np.memmap(self._path, np.uint8, "r").data

    def digest(self) -> str:
        return f"sha256:{self._hasher.hexdigest()}"

    def _write(self, content: bytearray) -> None:
        self._hasher.update(content)
        self._file.write(content)
        self._file.flush()
