"""SHA-256 digests, in the two spellings that we use.

Our own is ``sha256:<hex>`` (a basis's identity, a file's digest in a manifest). On the wire it is
``Content-Digest: sha-256=:<base64>:`` (RFC 9530).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from .errors import CorruptFile, InvalidInput

_PIECE = 1 << 20  # bytes read at a time
_CONTENT_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:(?P<base64>[A-Za-z0-9+/]{43}=):\s*(?=,|$)")


def digest_of(pieces: Iterable[bytes | memoryview]) -> str:
    """The digest ``sha256:<hex>`` of bytes that come in pieces."""
    hasher = hashlib.sha256()
    for piece in pieces:
        hasher.update(piece)
    return f"sha256:{hasher.hexdigest()}"


def digest_of_file(path: Path) -> str:
    """The digest of a file, read in pieces.

    Raises:
        OSError: when the file cannot be read.
    """
    with path.open("rb") as file:
        return digest_of(iter(lambda: file.read(_PIECE), b""))


def verify_file(path: Path, digest: str) -> None:
    """Hold a file to its digest.

    Raises:
        CorruptFile: when the file is absent or its bytes are others; names both digests.
    """
    try:
        found = digest_of_file(path)
    except FileNotFoundError:
        raise CorruptFile(f"{path}: the file is missing; expected {digest}") from None
    if found != digest:
        raise CorruptFile(f"{path}: expected {digest}, found {found}; the file was changed")


def content_digest(digest: str) -> str:
    """The Content-Digest header's value for ``sha256:<hex>`` (RFC 9530, section 2)."""
    raw = bytes.fromhex(digest.removeprefix("sha256:"))
    return f"sha-256=:{base64.b64encode(raw).decode()}:"


def parse_content_digest(header: str) -> str:
    """The digest ``sha256:<hex>`` that a Content-Digest header holds.

    Raises:
        InvalidInput: when the header holds no well-formed sha-256.
    """
    match = _CONTENT_DIGEST.search(header)
    if match is None:
        raise InvalidInput(f"Content-Digest: expected sha-256=:<base64>:, got {header[:100]!r}")
    try:
        raw = base64.b64decode(match["base64"], validate=True)
    except binascii.Error:
        raise InvalidInput(f"Content-Digest: not base64: {match['base64']!r}") from None
    return f"sha256:{raw.hex()}"
