"""The layer that keeps no stranger's body.

The framework reads a body, and parses what is JSON, before it asks for what a route depends on, the
token among it: whoever knows the address could have the server hold as much as it can. So a request
of the interface that brings a body shows its token here, before any of that is read. Anything else
takes forms at most, such as the one that people sign in with.
"""

from __future__ import annotations

from anyio.to_thread import run_sync
from fastapi.security.utils import get_authorization_scheme_param
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ..auth.gate import Gate
from ..guard import allow_body
from .dependencies import enter

INTERFACE = "/v1/"
FORM_BYTES = 64 << 10


class KnownFirst:
    """Asks whoever sends a body who he is, before it is read.

    Args:
        app: what lies within.
        gate: knows the tokens.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            Unauthenticated: when it has a body for the interface, and no token that holds.
            Overloaded: when its token comes more often than it may.
        """
        if scope["type"] == "http":
            if not scope["path"].startswith(INTERFACE):
                allow_body(Request(scope), FORM_BYTES)
            elif _has_body(headers := Headers(scope=scope)):
                secret = _secret(headers.get("authorization"))
                await run_sync(enter, self._gate, secret, Request(scope).client)
        await self._app(scope, receive, send)


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _secret(authorization: str | None) -> str | None:
    scheme, secret = get_authorization_scheme_param(authorization)
    return secret if scheme.lower() == "bearer" and secret else None
