"""The outermost layer of the app: which hosts it answers to, and how much it listens to.

uvicorn bounds neither a body's size nor the time that it takes to arrive. Here every body gets
both bounds, whatever route it goes to; a route that takes more says so with `allow_body`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sparsegrad_shared.errors import BodyTimeout, BodyTooLarge, Forbidden

from .problems import response_to

_BODY = "sparsegrad.body"  # where a request's bounds are in its scope
# The pages of /docs load their script from elsewhere; every other answer needs nothing.
_DOCS = ("/docs", "/openapi.json")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


@dataclass
class _Body:
    """A request's body on its way in, held to its bounds."""

    receive: Receive
    limit: int
    deadline: float
    received: int = 0
    whole: bool = False

    async def next(self) -> Message:
        """The next message.

        Raises:
            BodyTooLarge: when the body goes over its limit.
            BodyTimeout: when it takes too long.
        """
        if self.whole:  # only the end of the connection is still to come, in its own time
            return await self.receive()
        try:
            async with asyncio.timeout_at(self.deadline):
                message = await self.receive()
        except TimeoutError:
            raise BodyTimeout(
                f"the body did not arrive in time; {self.received} bytes had come: send it again, "
                "over a faster connection"
            ) from None
        self.whole = not message.get("more_body", False)
        self.received += len(message.get("body", b""))
        if self.received > self.limit:
            raise BodyTooLarge(f"expected a body of at most {self.limit} bytes; more came")
        return message


def allow_body(request: Request, limit: int) -> None:
    """Let this request's body have up to `limit` bytes."""
    request.scope[_BODY].limit = limit


class Guard:
    """Refuses unknown hosts, bounds bodies, and sets the headers that every answer has.

    Args:
        app: what lies within.
        allowed_hosts: names that the Host header may have; `*` is any.
        body_limit: bytes of a body, unless its route takes more.
        body_seconds: seconds that a body may take.
    """

    def __init__(
        self, app: ASGIApp, allowed_hosts: tuple[str, ...], body_limit: int, body_seconds: float
    ) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in allowed_hosts)
        self._body_limit = body_limit
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _set_headers(MutableHeaders(scope=message), scope["path"])
            await send(message)

        host = _host(Headers(scope=scope).get("host", ""))
        if "*" not in self._hosts and host not in self._hosts:
            # A page elsewhere may have its own name resolve to this address (DNS rebinding).
            refusal = Forbidden(f"this server does not answer to the name {host[:100]!r}")
            await response_to(refusal.to_problem(scope["path"]))(scope, receive, send_guarded)
            return
        deadline = asyncio.get_running_loop().time() + self._body_seconds
        body = _Body(receive, self._body_limit, deadline)
        scope[_BODY] = body
        await self._app(scope, body.next, send_guarded)


def _host(header: str) -> str:
    """The name in a Host header, without its port."""
    name = header.partition("]")[0] + "]" if header.startswith("[") else header.partition(":")[0]
    return name.lower()


def _set_headers(headers: MutableHeaders, path: str) -> None:
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("Cache-Control", "no-store")
    if path not in _DOCS:
        headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
