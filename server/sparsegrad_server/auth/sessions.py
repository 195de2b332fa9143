"""Sessions: browsers that signed in with a token, and need not show it again for a while.

A session is 256 random bits in a cookie, of which the catalog keeps the SHA-256. It is worth what
its token is worth at the moment: one that was revoked, or has expired, ends its sessions at once.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from sparsegrad_shared.errors import Unauthenticated

from ..catalog.tables import SessionRow
from . import tokens
from .principal import Principal

LIFETIME = timedelta(hours=12)  # at most; no session outlives its token
_SECRET_BYTES = 32


@dataclass(frozen=True)
class BrowserSession:
    """A new session; `secret` goes into the browser's cookie, and nowhere else."""

    secret: str = field(repr=False)
    expires: datetime


def begin(session: Session, principal: Principal, now: datetime) -> BrowserSession:
    """Begin a session with what a token is good for."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    expires = min(now + LIFETIME, principal.expires or now + LIFETIME)
    session.add(
        SessionRow(
            hash=digest_of(secret), token_id=principal.token_id, created=now, expires=expires
        )
    )
    session.flush()
    return BrowserSession(secret, expires)


def find(session: Session, secret: str, now: datetime) -> Principal:
    """The holder of a session's token.

    Raises:
        Unauthenticated: when there is no such session, or it or its token has ended.
    """
    row = session.get(SessionRow, digest_of(secret))
    if row is None or row.expires <= now:
        raise Unauthenticated("this session has ended: sign in again")
    return tokens.holder(tokens.get(session, row.token_id), now)


def end(session: Session, secret: str) -> None:
    """End a session; one that is not there has ended already."""
    session.execute(delete(SessionRow).where(SessionRow.hash == digest_of(secret)))


def digest_of(secret: str) -> str:
    """What the catalog knows a session by."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
