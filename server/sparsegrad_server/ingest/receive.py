"""A body on its way from the network to a staging file, in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect

from sparsegrad_shared.digests import parse_content_digest
from sparsegrad_shared.errors import BodyTooLarge, DigestMismatch, InvalidInput, TruncatedBody

BUFFER_BYTES = 1 << 20  # what is gathered before a thread hashes and writes it


@dataclass(frozen=True)
class Promise:
    """What a request's headers say of its body.

    Attributes:
        size: bytes.
        digest: ``sha256:<hex>``.
    """

    size: int
    digest: str


def read_promise(headers: Mapping[str, str], limit: int) -> Promise:
    """What the headers promise, before any of the body is read.

    Raises:
        InvalidInput: when Content-Length or Content-Digest is missing or malformed.
        BodyTooLarge: when more than `limit` bytes are promised.
    """
    length = headers.get("content-length")
    if length is None or not length.isascii() or not length.isdigit():
        raise InvalidInput("a gradient needs its size in Content-Length, and no chunked transfer")
    size = int(length)
    if size > limit:
        raise BodyTooLarge(
            f"expected a gradient of at most {limit} bytes; Content-Length says {size}: send it "
            "factored, in a smaller data type, or as sums"
        )
    digest = headers.get("content-digest")
    if digest is None:
        raise InvalidInput("a gradient needs its digest: Content-Digest: sha-256=:<base64>:")
    return Promise(size, parse_content_digest(digest))


async def receive(pieces: AsyncIterable[bytes], promise: Promise, path: Path) -> None:
    """Write a body to `path` and hold it to its promise. Hashing and writing run in a thread.

    Raises:
        TruncatedBody: when it ends early.
        BodyTooLarge: when it goes on for longer.
        DigestMismatch: when it has another digest; names both.
    """
    hasher = hashlib.sha256()
    received = 0
    buffer = bytearray()

    def write_out(file: BinaryIO, content: bytearray) -> None:
        hasher.update(content)
        file.write(content)
        file.flush()

    with path.open("xb") as file:
        try:
            async for piece in pieces:
                received += len(piece)
                if received > promise.size:
                    raise BodyTooLarge(f"expected {promise.size} bytes of body; more came")
                buffer += piece
                if len(buffer) >= BUFFER_BYTES:
                    await run_sync(write_out, file, buffer)
                    buffer = bytearray()
        except ClientDisconnect:
            raise TruncatedBody(
                f"the connection ended after {received} of {promise.size} bytes; send it again"
            ) from None
        await run_sync(write_out, file, buffer)
    if received < promise.size:
        raise TruncatedBody(f"expected {promise.size} bytes of body; {received} came")
    found = f"sha256:{hasher.hexdigest()}"
    if found != promise.digest:
        raise DigestMismatch(
            f"Content-Digest promised {promise.digest}; the body has {found}: it was changed on "
            "its way, send it again"
        )
