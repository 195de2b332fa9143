"""Which tokens the holder of one may make, and revoke."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from sparsegrad_shared.errors import Forbidden
from sparsegrad_shared.tokens import TokenCreated, TokenRequest, TokenStatus

from ..catalog.tables import TokenRow
from ..context import concern
from . import tokens
from .principal import Principal


def check_grant(principal: Principal, wanted: TokenRequest) -> datetime | None:
    """Hold a wanted token to be no broader than the one that asks for it, in time neither.

    Returns:
        When it ends; None when never.

    Raises:
        Forbidden: when it is for another namespace, has a higher scope, or lives longer.
    """
    principal.require("admin")
    principal.check(wanted.namespace)
    principal.require(wanted.scope)
    if principal.expires is None:
        return wanted.expires
    if wanted.expires is not None and wanted.expires > principal.expires:
        raise Forbidden(
            f"token {principal.name!r} ends at {principal.expires:%Y-%m-%d %H:%M} UTC, and can "
            f"make none that ends later; asked for {wanted.expires:%Y-%m-%d %H:%M} UTC"
        )
    return wanted.expires or principal.expires


def grant(
    session: Session, principal: Principal, wanted: TokenRequest, now: datetime
) -> TokenCreated:
    """Make a token for somebody; its secret is in the answer, and nowhere else.

    Raises:
        Forbidden: when it would be broader than the one that asks for it.
        InvalidInput: when it could never be used.
    """
    expires = check_grant(principal, wanted)
    token = tokens.create(session, wanted.name, wanted.namespace, wanted.scope, now, expires)
    concern(wanted.namespace, f"{token.id} {wanted.scope} {wanted.name}")
    status = tokens.status(tokens.get(session, token.id))
    return TokenCreated(**status.model_dump(), secret=token.secret)


def granted(session: Session, principal: Principal, token_id: str) -> TokenRow:
    """A token that the holder of another may see, and revoke.

    Raises:
        NotFound: when there is none of that id, or it is another namespace's.
    """
    row = tokens.get(session, token_id)
    if not principal.sees(row.namespace):
        raise tokens.unknown(token_id)
    return row


def withdraw(session: Session, principal: Principal, token_id: str, now: datetime) -> TokenStatus:
    """Revoke a token.

    Raises:
        NotFound: when there is none of that id, or it is another namespace's.
    """
    granted(session, principal, token_id)
    row = tokens.revoke(session, token_id, now)
    concern(row.namespace, f"{row.id} {row.scope} {row.name}")
    return tokens.status(row)
