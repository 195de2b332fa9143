"""The layer around all routes: which hosts are answered, and how much is listened to.

uvicorn bounds neither a body's size nor the time that it takes to arrive. Here every body gets
both bounds, whatever route it goes to; a route that takes more says so with `allow_body`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sparsegrad_shared.errors import (
    PROBLEM_MEDIA_TYPE,
    BodyTimeout,
    BodyTooLarge,
    Forbidden,
    InvalidInput,
    SparseGradError,
)

from .problems import of_status, response_to, translate

_BODY = "sparsegrad.body"  # where a request's bounds are in its scope
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    # An answer for programs needs nothing; a page says itself what it needs.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
# Whoever watches the server asks by its address, and learns no more than whether it is up.
_PROBES = frozenset({"/livez", "/readyz"})
_OF_ERRORS = ("allow", "content-range")  # headers that say what would have been right
_ONLY_TLS = "max-age=31536000"  # seconds for which a browser does not come without TLS again


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


class _Answer:
    """An answer on its way out: with the headers that every one has, and, an error, as a problem.

    Args:
        scope: the request.
        send: where to.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._replaced = False
        self.begun = False

    async def send(self, message: Message) -> None:
        """Send a message, or what replaces it."""
        if message["type"] == "http.response.start":
            self.begun = True
            if _is_bare(message):
                self._replaced = True
                await self._replace(message)
            else:
                await self._pass_on(message)
        elif not self._replaced:
            await self._pass_on(message)

    async def refuse(self, error: SparseGradError) -> None:
        """Answer with an error."""
        answer = response_to(error.to_problem(self._scope["path"]))
        await answer(self._scope, _nothing_more, self.send)

    async def _replace(self, message: Message) -> None:
        status = int(message["status"])
        problem = of_status(status, self._scope["path"])
        about = Headers(raw=message["headers"])
        kept = {name: about[name] for name in _OF_ERRORS if name in about}
        await response_to(problem, kept)(self._scope, _nothing_more, self._pass_on)

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            _set_headers(MutableHeaders(scope=message), self._scope["scheme"])
        await self._send(message)


class Guard:
    """Refuses unknown hosts, bounds bodies, and shapes answers.

    Every answer has the headers that browsers go by; every error is a problem, what nothing
    within has caught included.

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
        answer = _Answer(scope, send)
        hosts = Headers(scope=scope).getlist("host")
        if len(hosts) > 1:  # who is before us may have gone by the other one (RFC 9112, 3.2)
            await answer.refuse(InvalidInput(f"expected one Host header; {len(hosts)} came"))
            return
        host = _host(hosts[0] if hosts else "")
        known = "*" in self._hosts or host in self._hosts or scope["path"] in _PROBES
        if not known:
            # A page elsewhere may have its own name resolve to this address (DNS rebinding).
            await answer.refuse(
                Forbidden(f"this server does not answer to the name {host[:100]!r}")
            )
            return
        deadline = asyncio.get_running_loop().time() + self._body_seconds
        scope[_BODY] = body = _Body(receive, self._body_limit, deadline)
        try:
            await self._app(scope, body.next, answer.send)
        except Exception as error:
            if answer.begun:  # too late to say so: the connection is cut
                raise
            await answer.refuse(translate(error))


async def _nothing_more() -> Message:
    return {"type": "http.disconnect"}


def _is_bare(message: Message) -> bool:
    """Whether an answer is an error that is no problem or page yet, as the framework's own are."""
    kind = Headers(raw=message["headers"]).get("content-type", "")
    return int(message["status"]) >= 400 and not kind.startswith((PROBLEM_MEDIA_TYPE, "text/html"))


def _host(header: str) -> str:
    """The name in a Host header, without its port."""
    name = header.partition("]")[0] + "]" if header.startswith("[") else header.partition(":")[0]
    return name.lower()


def _set_headers(headers: MutableHeaders, scheme: str) -> None:
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    if scheme == "https":
        headers.setdefault("Strict-Transport-Security", _ONLY_TLS)
