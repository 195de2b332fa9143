"""Tokens: 256 random bits and a checksum, of which the catalog keeps the SHA-256.

A token is ``sg_<43 characters><6 characters>``, base64url: the secret, then its CRC-32. The prefix
lets a leaked token be found by search; the checksum tells a mistyped token from a revoked one. A
plain hash is enough, since nobody can guess 256 random bits.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import uuid
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from sparsegrad_shared.errors import InvalidInput, NotFound, Unauthenticated
from sparsegrad_shared.references import SEGMENT
from sparsegrad_shared.tokens import MAX_NAME, MOST_DAYS, SCOPES, Scope, TokenStatus

from ..catalog.tables import TokenRow
from .principal import EVERY_NAMESPACE, Principal

PREFIX = "sg_"
_SECRET_BYTES = 32
_LENGTH = len(PREFIX) + 43 + 6
# Put together once: every request asks for it.
_BY_HASH = select(TokenRow).where(TokenRow.hash == bindparam("digest"))


@dataclass(frozen=True)
class Token:
    """A new token; `secret` is shown this once, and nowhere in a log."""

    id: str
    name: str
    secret: str = field(repr=False)


def create(
    session: Session,
    name: str,
    namespace: str,
    scope: Scope,
    now: datetime,
    expires: datetime | None = None,
) -> Token:
    """Make a token for one namespace, or for `*`, every one.

    Raises:
        InvalidInput: when the namespace, name or scope is none, or the token expired before it
            began, or ends later than a token may.
    """
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise InvalidInput(f"expected a name of 1 to {MAX_NAME} printable characters: {name!r}")
    if namespace != EVERY_NAMESPACE and re.fullmatch(SEGMENT, namespace) is None:
        raise InvalidInput(f"expected a namespace such as team, or * for all; got {namespace!r}")
    if expires is not None and expires <= now:
        raise InvalidInput(f"a token that expires at {expires} could never be used")
    if expires is not None and expires > now + timedelta(days=MOST_DAYS):
        raise InvalidInput(
            f"expected an end within {MOST_DAYS} days, or none at all; got {expires}"
        )
    secret = _new_secret()
    row = TokenRow(
        id=f"tok-{uuid.uuid4().hex[:16]}",
        name=name,
        hash=digest_of(secret),
        namespace=namespace,
        scope=_scope(scope),
        created=now,
        expires=expires,
        revoked=None,
        last_used=None,
    )
    session.add(row)
    session.flush()
    return Token(row.id, name, secret)


def verify(session: Session, secret: str, now: datetime) -> Principal:
    """Whose token this is.

    Raises:
        Unauthenticated: when it is no token, not a known one, or has expired or been revoked.
    """
    return find(session, digest_of(secret), now)


def digest_of(secret: str) -> str:
    """What the catalog knows a token by.

    Raises:
        Unauthenticated: when it is no token at all; found without a look into the catalog.
    """
    if not _well_formed(secret):
        raise Unauthenticated("this is no token of SparseGrad, or it was copied with an error")
    return hashlib.sha256(secret.encode()).hexdigest()


def find(session: Session, digest: str, now: datetime) -> Principal:
    """Whose token has this digest.

    Raises:
        Unauthenticated: when there is none, or it has expired or been revoked.
    """
    row = session.scalars(_BY_HASH, {"digest": digest}).one_or_none()
    if row is None:
        raise Unauthenticated("this token is not known here: is it for another server?")
    return holder(row, now)


def holder(row: TokenRow, now: datetime) -> Principal:
    """Whose token a row is.

    Raises:
        Unauthenticated: when it has expired or been revoked.
    """
    if row.revoked is not None:
        raise Unauthenticated(f"token {row.name!r} was revoked at {row.revoked:%Y-%m-%d %H:%M} UTC")
    if row.expires is not None and row.expires <= now:
        raise Unauthenticated(f"token {row.name!r} expired at {row.expires:%Y-%m-%d %H:%M} UTC")
    return Principal(row.name, row.namespace, _scope(row.scope), row.id, row.expires)


def every(session: Session, namespace: str = EVERY_NAMESPACE) -> list[TokenRow]:
    """All tokens of a namespace, or of `*` all, those that ended included; oldest first."""
    query = select(TokenRow).order_by(TokenRow.created, TokenRow.id)
    if namespace != EVERY_NAMESPACE:
        query = query.where(TokenRow.namespace == namespace)
    return list(session.scalars(query))


def get(session: Session, token_id: str) -> TokenRow:
    """A token's row.

    Raises:
        NotFound: when there is none of that id.
    """
    row = session.get(TokenRow, token_id)
    if row is None:
        raise unknown(token_id)
    return row


def unknown(token_id: str) -> NotFound:
    """The error for an id that is not there, or that a token may not see."""
    return NotFound(f"no token {token_id!r}; `sparsegrad-server token list` shows them")


def status(row: TokenRow) -> TokenStatus:
    """A token as it is shown."""
    return TokenStatus(
        id=row.id,
        name=row.name,
        namespace=row.namespace,
        scope=_scope(row.scope),
        created=row.created,
        expires=row.expires,
        revoked=row.revoked,
        last_used=row.last_used,
    )


def revoke(session: Session, token_id: str, now: datetime) -> TokenRow:
    """End a token for good; one that is revoked already stays as it is.

    Raises:
        NotFound: when there is none of that id.
    """
    row = get(session, token_id)
    row.revoked = row.revoked or now
    return row


def _scope(text: str) -> Scope:
    for scope in SCOPES:
        if scope == text:
            return scope
    raise InvalidInput(f"expected one of {', '.join(SCOPES)}; got {text!r}")


def _new_secret() -> str:
    text = secrets.token_urlsafe(_SECRET_BYTES)
    return f"{PREFIX}{text}{_checksum(text)}"


def _well_formed(secret: str) -> bool:
    body = secret.removeprefix(PREFIX)
    if len(secret) != _LENGTH or body == secret or not body.isascii():
        return False
    return _checksum(body[:-6]) == body[-6:]


def _checksum(text: str) -> str:
    return base64.urlsafe_b64encode(zlib.crc32(text.encode()).to_bytes(4)).decode().rstrip("=")
