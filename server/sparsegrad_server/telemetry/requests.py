"""The layer around the app that sees every request begin and end.

It gives the request its id, counts it, logs it in one line, and has the audit log told of it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from anyio.to_thread import run_sync
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..audit import AuditTrail, needs_following
from ..auth.limits import Allowance
from ..context import RequestContext, answering, new_request_id
from .metrics import Exchange, RequestMetrics
from .traces import PROBES, name_request

GONE = 499  # what a log says of a client that left before its answer, as nginx does

_access = logging.getLogger("sparsegrad_server.access")
_log = logging.getLogger(__name__)


@dataclass
class _Tally:
    """A request on its way: what went in and out so far, and what its answer still needs."""

    receive: Receive
    send: Send
    current: RequestContext
    trail: AuditTrail
    received: int = 0
    sent: int = 0
    status: int | None = None
    began: float = field(default_factory=time.monotonic)

    async def next(self) -> Message:
        """The next message of the request."""
        message = await self.receive()
        self.received += len(message.get("body", b""))
        return message

    async def pass_on(self, message: Message) -> None:
        """Send a message of the answer; the audit log knows of it first."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            await self._follow(message["status"])
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self.current.id
            if self.current.allowance is not None:
                headers.update(rate_headers(self.current.allowance))
        self.sent += len(message.get("body", b""))
        await self.send(message)

    async def _follow(self, status: int) -> None:
        if not needs_following(self.current, status):
            return
        try:
            await run_sync(self.trail.follow, self.current, status, time.monotonic())
        except SQLAlchemyError:
            _log.exception("the audit log could not be written")


class Observer:
    """Sees every request begin and end.

    Args:
        app: what lies within.
        trail: the audit log.
        metrics: what is counted.
    """

    def __init__(self, app: ASGIApp, trail: AuditTrail, metrics: RequestMetrics) -> None:
        self._app = app
        self._trail = trail
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_request_id(Headers(scope=scope).get("x-request-id"))
        current = RequestContext(request_id, scope)
        name_request(request_id)
        tally = _Tally(receive, send, current, self._trail)
        with answering(current):
            try:
                await self._app(scope, tally.next, tally.pass_on)
            finally:
                self._account(tally)

    def _account(self, tally: _Tally) -> None:
        current = tally.current
        exchange = Exchange(
            method=current.method,
            route=current.template,
            status=tally.status or GONE,
            seconds=time.monotonic() - tally.began,
            received=tally.received,
            sent=tally.sent,
        )
        self._metrics.count(exchange)
        fields = {
            "status": exchange.status,
            "bytes_in": exchange.received,
            "bytes_out": exchange.sent,
            "ms": round(exchange.seconds * 1000, 1),
            "token": current.principal.name if current.principal else None,
        }
        level = logging.DEBUG if current.path in PROBES else logging.INFO
        route = exchange.route or "(no route)"
        _access.log(level, "%s %s", exchange.method, route, extra={"fields": fields})


def rate_headers(allowance: Allowance) -> dict[str, str]:
    """What a token may still do, as draft-ietf-httpapi-ratelimit-headers has it."""
    rate = allowance.rate
    return {
        "RateLimit-Policy": f'"requests";q={rate.burst};w={rate.window}',
        "RateLimit": f'"requests";r={allowance.remaining};t={round(allowance.reset)}',
    }
