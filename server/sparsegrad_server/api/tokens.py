"""Tokens over HTTP, for the admins of a namespace: its own, and none broader."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Response

from sparsegrad_shared.references import Segment
from sparsegrad_shared.tokens import TokenCreated, TokenList, TokenRequest, TokenStatus

from ..auth import tokens
from ..auth.grants import grant, withdraw
from .dependencies import Admin, CatalogOf

router = APIRouter(tags=["tokens"], prefix="/tokens")


@router.get("")
def list_tokens(principal: Admin, catalog: CatalogOf) -> TokenList:
    """The tokens of the namespace, those that ended included; never their secrets."""
    with catalog.reading() as session:
        rows = tokens.every(session, principal.namespace)
    return TokenList(tokens=tuple(map(tokens.status, rows)))


@router.post("", status_code=201)
def create_token(
    wanted: TokenRequest, response: Response, principal: Admin, catalog: CatalogOf
) -> TokenCreated:
    """Make a token, of the namespace and no longer-lived than the one that makes it.

    Its secret is in this answer, and never shown again.
    """
    with catalog.writing() as session:
        created = grant(session, principal, wanted, datetime.now(UTC))
    response.headers["Location"] = f"/v1/tokens/{created.id}"
    return created


@router.delete("/{token_id}")
def revoke_token(token_id: Segment, principal: Admin, catalog: CatalogOf) -> TokenStatus:
    """Revoke a token: from now on it is answered 401. It stays listed."""
    with catalog.writing() as session:
        return withdraw(session, principal, token_id, datetime.now(UTC))
