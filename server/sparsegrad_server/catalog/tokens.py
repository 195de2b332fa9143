"""Tokens in the catalog: only their hashes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from sparsegrad_shared.errors import NotFound

from .tables import TokenRow


def by_hash(session: Session, digest: str) -> TokenRow | None:
    """The token of that hash, revoked and expired ones included."""
    return session.scalars(select(TokenRow).where(TokenRow.hash == digest)).one_or_none()


def every(session: Session) -> list[TokenRow]:
    """All tokens, oldest first."""
    return list(session.scalars(select(TokenRow).order_by(TokenRow.created, TokenRow.id)))


def revoke(session: Session, token_id: str, now: datetime) -> TokenRow:
    """End a token for good; one that is revoked already stays as it is.

    Raises:
        NotFound: when there is none of that id.
    """
    row = session.get(TokenRow, token_id)
    if row is None:
        raise NotFound(f"no token {token_id!r}; `token list` shows those that there are")
    row.revoked = row.revoked or now
    return row
