"""Where a body is kept while it comes: in memory, or, when that is promised away, in a file.

A body in memory is written there by the connection itself where it can (see
`serving.protocol`), and hashed once it is whole, in the thread that checks it: while it comes, no
thread is asked for. One in a file is hashed and written piece by piece, in threads, and later
mapped, so that it is read from the disk only where it is looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from anyio import CancelScope
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.types import Scope

from ..store.files import Staging, tidy

# The extension of the ASGI scope by which a connection writes a body into memory of ours: a map
# with `deliver`, which takes a memoryview of the body's size, or None to end that.
BODY_INTO = "sparsegrad.body_into"
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


@asynccontextmanager
async def new_body(
    request: Request, size: int, staging: Staging, *, in_memory: bool
) -> AsyncIterator[Body]:
    """A place for the `size` bytes of a request's body, for as long as the context lasts."""
    if in_memory:
        with _delivering(request.scope, np.empty(size, np.uint8).data) as memory:
            yield memory
        return
    path = staging.new_path()
    file = _File(path)
    try:
        await run_sync(file.make)
        yield file
    finally:
        with CancelScope(shield=True):
            await run_sync(file.remove)


@contextmanager
def _delivering(scope: Scope, content: memoryview) -> Iterator[_Memory]:
    extension = scope.get("extensions", {}).get(BODY_INTO)
    if extension is None:
        yield _Memory(content, comes_by_itself=False)
        return
    extension["deliver"](content)
    try:
        yield _Memory(content, comes_by_itself=True)
    finally:
        extension["deliver"](None)


class _Memory:
    def __init__(self, content: memoryview, *, comes_by_itself: bool) -> None:
        self._content = content
        self._comes_by_itself = comes_by_itself
        self._received = 0

    async def append(self, piece: bytes | memoryview) -> None:
        end = self._received + len(piece)
        if not self._comes_by_itself:
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
        self._buffer = bytearray()

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

    def make(self) -> None:
        self._hasher = hashlib.sha256()
        self._path.touch(exist_ok=False)

    def remove(self) -> None:
        tidy(self._path)

    def _write(self, content: bytearray) -> None:
        self._hasher.update(content)
        with self._path.open("ab") as file:
            file.write(content)
