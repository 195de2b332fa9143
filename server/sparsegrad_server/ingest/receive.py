"""A body on its way in: what its request promises, and whether that is what comes."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass

from starlette.requests import ClientDisconnect

from sparsegrad_shared.digests import parse_content_digest
from sparsegrad_shared.errors import BodyTooLarge, DigestMismatch, InvalidInput, TruncatedBody

from .body import Body


@dataclass(frozen=True)
class Promise:
    """What a request's headers say of its body.

    Attributes:
        size: bytes.
        digest: ``sha256:<hex>``.
    """

    size: int
    digest: str


def read_promise(headers: Mapping[str, str], limit: int, what: str, advice: str) -> Promise:
    """What the headers promise, before any of the body is read.

    Args:
        headers: of the request.
        limit: bytes that the body may have.
        what: what the body is, for messages.
        advice: what to do about a body that is too large.

    Raises:
        InvalidInput: when Content-Length or Content-Digest is missing or malformed.
        BodyTooLarge: when more than `limit` bytes are promised.
    """
    length = headers.get("content-length")
    if length is None or not length.isascii() or not length.isdigit():
        raise InvalidInput(f"{what} needs its size in Content-Length, and no chunked transfer")
    size = int(length)
    if size > limit:
        raise BodyTooLarge(
            f"expected {what} of at most {limit} bytes; Content-Length says {size}: {advice}"
        )
    digest = headers.get("content-digest")
    if digest is None:
        raise InvalidInput(f"{what} needs its digest: Content-Digest: sha-256=:<base64>:")
    return Promise(size, parse_content_digest(digest))


async def receive(pieces: AsyncIterable[bytes | memoryview], promise: Promise, body: Body) -> None:
    """Take in a body, and hold it to its promised size.

    Raises:
        TruncatedBody: when it ends early.
        BodyTooLarge: when it goes on for longer.
    """
    received = 0
    try:
        async for piece in pieces:
            received += len(piece)
            if received > promise.size:
                raise BodyTooLarge(f"expected {promise.size} bytes of body; more came")
            await body.append(piece)
    except ClientDisconnect:
        raise TruncatedBody(
            f"the connection ended after {received} of {promise.size} bytes; send it again"
        ) from None
    if received < promise.size:
        raise TruncatedBody(f"expected {promise.size} bytes of body; {received} came")
    await body.close()


def check_digest(body: Body, promise: Promise) -> None:
    """Hold a whole body to its promised digest.

    Raises:
        DigestMismatch: when it has another one; names both.
    """
    found = body.digest()
    if found != promise.digest:
        raise DigestMismatch(
            f"Content-Digest promised {promise.digest}; the body has {found}: it was changed on "
            "its way, send it again"
        )
