"""Who looks at a page: the holder of a session, whose cookie is good for pages alone.

The interface under `/v1` knows tokens only, so that no page elsewhere can make a browser use it.
What changes something here has to come from a page of this server as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from sparsegrad_shared.errors import Forbidden, Unauthenticated
from sparsegrad_shared.tokens import Scope

from ..api.dependencies import GateOf, admit
from ..auth.principal import Principal
from ..auth.sessions import BrowserSession
from ..problems import response_to

HOME = "/bases"
SIGN_IN = "/sign-in"
_SAFE_METHODS = ("GET", "HEAD")
_FOR_SCRIPTS = ("application/json", "text/event-stream")


class NotSignedIn(Exception):
    """Nobody has signed in, or not any more; answered with the way to the sign-in."""


def page_router(scope: Scope = "read", prefix: str = "") -> APIRouter:
    """A router of pages, none of which is shown, or acts, without a session of that scope."""
    return APIRouter(
        prefix=prefix,
        include_in_schema=False,
        dependencies=[Depends(same_origin), Depends(visitor(scope))],
    )


def install(app: FastAPI) -> None:
    """Have `app` send whoever has not signed in to do so."""
    app.add_exception_handler(NotSignedIn, _send_to_sign_in)


def signed_in(request: Request, gate: GateOf) -> Principal:
    """The holder of the browser's session.

    Raises:
        NotSignedIn: when there is no session, or none that holds.
        Overloaded: when its token comes more often than it may.
    """
    secret = request.cookies.get(_cookie(request))
    if secret is None:
        raise NotSignedIn
    try:
        principal, allowance = gate.resume(secret, datetime.now(UTC), time.monotonic())
    except Unauthenticated:
        raise NotSignedIn from None
    return admit(principal, allowance)


def visitor(scope: Scope) -> Callable[[Principal], Principal]:
    """A dependency: the session's holder, held to a scope."""

    def authorized(principal: Annotated[Principal, Depends(signed_in)]) -> Principal:
        principal.require(scope)
        return principal

    return authorized


Viewer = Annotated[Principal, Depends(visitor("read"))]
Editor = Annotated[Principal, Depends(visitor("write"))]
Administrator = Annotated[Principal, Depends(visitor("admin"))]


def same_origin(request: Request) -> None:
    """Hold whatever may change something to come from a page of this server.

    Browsers say so in `Sec-Fetch-Site`, which no page can forge; those that do not, and those
    that speak to us without TLS, in `Origin`.

    Raises:
        Forbidden: when it comes from elsewhere, or does not say.
    """
    if request.method in _SAFE_METHODS:
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        ours = site == "same-origin"
    else:
        origin = urlsplit(request.headers.get("origin", ""))
        ours = origin.netloc != "" and origin.netloc == request.headers.get("host")
    if not ours:
        raise Forbidden("this was not sent from a page of this server: open the page, and repeat")


def remember(request: Request, response: Response, session: BrowserSession) -> None:
    """Have the browser keep a session, out of reach of scripts and of other sites."""
    left = session.expires - datetime.now(UTC)
    response.set_cookie(
        _cookie(request),
        session.secret,
        max_age=max(0, int(left.total_seconds())),
        path="/",
        secure=_is_secure(request),
        httponly=True,
        samesite="strict",
    )


def session_of(request: Request) -> str | None:
    """What the browser's cookie holds."""
    return request.cookies.get(_cookie(request))


def forget(request: Request, response: Response) -> None:
    """Have the browser forget its session."""
    response.delete_cookie(
        _cookie(request), path="/", secure=_is_secure(request), httponly=True, samesite="strict"
    )


def local(path: str | None) -> str:
    """A path of this server to go on to, with its query: the one that is asked for, if it is one.

    Another server's address (`https://…`, `//host`, either with backslashes) becomes `HOME`.
    """
    if path is None or not path.startswith("/") or "\\" in path or not path.isprintable():
        return HOME
    parts = urlsplit(path)
    if path.startswith("//") or parts.scheme or parts.netloc or parts.path == SIGN_IN:
        return HOME
    return path


def _send_to_sign_in(request: Request, error: Exception) -> Response:
    headers = request.headers
    if "hx-request" in headers:  # a part of a page: the whole page has to go
        before = urlsplit(headers.get("hx-current-url", ""))
        to = _sign_in_before(f"{before.path}?{before.query}" if before.query else before.path)
        answer = response_to(_needed().to_problem(request.url.path))
        answer.headers["HX-Redirect"] = to
        return answer
    if any(kind in headers.get("accept", "") for kind in _FOR_SCRIPTS):
        return response_to(_needed().to_problem(request.url.path))
    asked = request.url.path
    if request.url.query:
        asked += f"?{request.url.query}"
    after = _sign_in_before(asked) if request.method in _SAFE_METHODS else SIGN_IN
    return RedirectResponse(after, status_code=303)


def _needed() -> Unauthenticated:
    return Unauthenticated("nobody is signed in, or not any more: sign in")


def _sign_in_before(path: str) -> str:
    return f"{SIGN_IN}?next={quote(local(path), safe='/')}"


def _cookie(request: Request) -> str:
    # With the prefix, no other host of the domain, and nothing without TLS, can have set it.
    return "__Host-sparsegrad" if _is_secure(request) else "sparsegrad"


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"
