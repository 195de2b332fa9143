"""Signing in with a token, and out."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from sparsegrad_shared.errors import Forbidden, Overloaded, Unauthenticated

from ..api.dependencies import CatalogOf, GateOf, admit
from ..auth import sessions
from . import words
from .forms import FormOf
from .rendering import page
from .visitors import SIGN_IN, forget, local, remember, same_origin, session_of

router = APIRouter(include_in_schema=False, dependencies=[Depends(same_origin)])


@router.get(SIGN_IN)
def show_form(
    request: Request, after: Annotated[str | None, Query(alias="next")] = None
) -> HTMLResponse:
    """The form that takes a token."""
    return _form(request, after)


@router.post(SIGN_IN, status_code=303)
def sign_in(request: Request, form: FormOf, gate: GateOf, catalog: CatalogOf) -> Response:
    """Begin a session, and go on to where its holder wanted to be."""
    after = form.get("next")
    secret = form.get("token", "").strip()
    if not secret:
        return _form(request, after, "Paste a token first: it begins with sg_.", 422)
    now = datetime.now(UTC)
    address = request.client.host if request.client else ""
    try:
        principal = admit(*gate.enter(secret, address, now, time.monotonic()))
        principal.require("read")
    except (Unauthenticated, Forbidden, Overloaded) as error:
        return _form(request, after, words.sentence(error.message), error.status, error.retry_after)
    with catalog.writing() as session:
        begun = sessions.begin(session, principal, now)
    answer = RedirectResponse(local(after), status_code=303)
    remember(request, answer, begun)
    return answer


@router.post("/sign-out", status_code=303)
def sign_out(request: Request, catalog: CatalogOf) -> Response:
    """End the browser's session."""
    if (secret := session_of(request)) is not None:
        with catalog.writing() as session:
            sessions.end(session, secret)
    answer = RedirectResponse(SIGN_IN, status_code=303)
    forget(request, answer)
    return answer


def _form(
    request: Request,
    after: str | None,
    error: str | None = None,
    status: int = 200,
    retry_after: float | None = None,
) -> HTMLResponse:
    answer = page(request, "sign_in.html", status=status, after=local(after), error=error)
    if retry_after is not None:
        answer.headers["Retry-After"] = str(round(retry_after + 0.5))
    if status == Unauthenticated.status:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer
