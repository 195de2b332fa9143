"""Tokens: those of a namespace, one made, one revoked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError

from sparsegrad_shared.errors import Forbidden, InvalidInput
from sparsegrad_shared.references import Segment
from sparsegrad_shared.tokens import (
    MAX_NAME,
    MOST_DAYS,
    SCOPES,
    TokenCreated,
    TokenRequest,
    TokenStatus,
)

from ..api.dependencies import CatalogOf
from ..auth import tokens
from ..auth.grants import grant, granted, withdraw
from ..auth.principal import EVERY_NAMESPACE, Principal
from ..catalog import Catalog
from .complaints import by_field
from .forms import FormOf
from .rendering import page
from .visitors import Administrator, page_router
from .words import sentence

PATH = "/tokens"
USUAL = timedelta(days=90)
SCOPE_WORDS = {
    "metrics": "only the server's figures, for Prometheus",
    "read": "look at bases and calibrations, download bases",
    "write": "also calibrate, publish, move aliases",
    "admin": "also make and revoke tokens, protect aliases",
}
_DAYS = re.compile("[0-9]{1,6}")
_FIELDS = ("name", "namespace", "scope", "days")

router = page_router("admin", prefix=PATH)


class _Complaints(Exception):
    """What is wrong with the form, by its fields."""

    def __init__(self, by_field: Mapping[str, str]) -> None:
        super().__init__(by_field)
        self.by_field = by_field


@router.get("")
def list_tokens(request: Request, principal: Administrator, catalog: CatalogOf) -> HTMLResponse:
    """The tokens of the namespace, and a form that makes one."""
    return _list(request, principal, catalog)


@router.post("", status_code=201)
def create_token(
    request: Request, principal: Administrator, catalog: CatalogOf, form: FormOf
) -> HTMLResponse:
    """Make a token, and show its secret this once."""
    values = {name: form.get(name, "").strip() for name in _FIELDS}
    now = datetime.now(UTC)
    try:
        created = _make(catalog, principal, values, now)
    except _Complaints as wrong:
        return _list(request, principal, catalog, values, wrong.by_field)
    address = str(request.base_url).rstrip("/")
    return page(request, "token.html", status=201, token=created, server=address)


@router.get("/{token_id}/revoke")
def ask(
    request: Request, token_id: Segment, principal: Administrator, catalog: CatalogOf
) -> HTMLResponse:
    """Whether to revoke a token: a page of its own, since it cannot be undone."""
    with catalog.reading() as session:
        token = tokens.status(granted(session, principal, token_id))
    ours = token.id == principal.token_id
    return page(request, "token_revoke.html", token=token, ours=ours)


@router.post("/{token_id}/revoke", status_code=303)
def revoke(token_id: Segment, principal: Administrator, catalog: CatalogOf) -> Response:
    """Revoke a token; its sessions end with it."""
    with catalog.writing() as session:
        withdraw(session, principal, token_id, datetime.now(UTC))
    return RedirectResponse(PATH, status_code=303)


def _make(
    catalog: Catalog, principal: Principal, values: Mapping[str, str], now: datetime
) -> TokenCreated:
    """Make the token that a form asks for.

    Raises:
        _Complaints: when the form cannot be granted.
    """
    wanted = _read(values, now)
    try:
        principal.check(wanted.namespace)
    except Forbidden:
        own = f"This token makes tokens for namespace {principal.namespace} alone."
        raise _Complaints({"namespace": own}) from None
    try:
        with catalog.writing() as session:
            return grant(session, principal, wanted, now)
    except Forbidden as error:  # of what is left, only the end can be too much
        raise _Complaints({"days": sentence(error.message)}) from None
    except InvalidInput as error:
        raise _Complaints({"name": sentence(error.message)}) from None


def _read(values: Mapping[str, str], now: datetime) -> TokenRequest:
    """The token that a form asks for; without days, it ends when its maker's does.

    Raises:
        _Complaints: about every field that cannot be what it says.
    """
    days, complaints = values["days"], {}
    if days and not (_DAYS.fullmatch(days) and 1 <= int(days) <= MOST_DAYS):
        complaints["days"] = f"Expected a number of days from 1 to {MOST_DAYS}, or nothing."
    expires = now + timedelta(days=int(days)) if days and not complaints else None
    asked = {name: values[name] for name in ("name", "namespace", "scope")}
    try:
        wanted = TokenRequest.model_validate({**asked, "expires": expires})
    except ValidationError as error:
        raise _Complaints({**by_field(error), **_better(error), **complaints}) from None
    if complaints:
        raise _Complaints(complaints)
    return wanted


def _better(error: ValidationError) -> dict[str, str]:
    words = {
        "name": f"Expected a name of 1 to {MAX_NAME} characters, such as alice.",
        "namespace": "Expected a namespace, such as team, or * for every one.",
        "scope": f"Expected one of {', '.join(SCOPES)}.",
    }
    wrong = {str(complaint["loc"][0]) for complaint in error.errors() if complaint["loc"]}
    return {name: sentence for name, sentence in words.items() if name in wrong}


def _list(
    request: Request,
    principal: Principal,
    catalog: Catalog,
    values: Mapping[str, str] | None = None,
    complaints: Mapping[str, str] | None = None,
) -> HTMLResponse:
    now = datetime.now(UTC)
    with catalog.reading() as session:
        every = [tokens.status(row) for row in tokens.every(session, principal.namespace)]
    every.reverse()  # newest first
    everywhere = principal.namespace == EVERY_NAMESPACE
    blank = {"name": "", "namespace": "" if everywhere else principal.namespace, "scope": "read"}
    outlived = principal.expires is not None and principal.expires < now + USUAL
    return page(
        request,
        "tokens.html",
        status=InvalidInput.status if complaints else 200,
        holding=[token for token in every if not _ended(token, now)],
        ended=[token for token in every if _ended(token, now)],
        values=values or {**blank, "days": "" if outlived else str(USUAL.days)},
        complaints=complaints or {},
        scopes=SCOPE_WORDS,
        everywhere=everywhere,
    )


def _ended(token: TokenStatus, now: datetime) -> bool:
    return token.revoked is not None or (token.expires is not None and token.expires <= now)
