"""The request at hand, or the job: known to whatever runs for it, in threads too.

A context variable holds it. The web framework copies the context into the threads that it runs
handlers in; the object is one and the same there, so what a handler notes, the layers around it
see afterwards.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .auth.limits import Allowance
    from .auth.principal import Principal

_WELL_FORMED = re.compile(r"[A-Za-z0-9._~-]{1,100}")


def new_request_id(proposed: str | None = None) -> str:
    """An id for a request: the one that its sender proposes, if it can stand in a log as it is."""
    if proposed is not None and _WELL_FORMED.fullmatch(proposed):
        return proposed
    return uuid.uuid4().hex


@dataclass
class RequestContext:
    """What is known of a request while it is answered.

    Attributes:
        id: echoed as `X-Request-Id`, in problems, and in every line of the log.
        scope: ASGI's, in which the router notes the route.
        principal: the holder of its token, once that is known to be good.
        allowance: what its token may still do, for the `RateLimit` headers.
        namespace: what it concerns, where its path does not say.
        target: what it changes, where its path does not say.
        repeated: whether all requests of its token, route and target share a row of the audit log.
        audit_id: its row of the audit log, once that is on disk.
        audit_status: the status that the row says.
    """

    id: str
    scope: MutableMapping[str, Any] = field(repr=False)
    principal: Principal | None = None
    allowance: Allowance | None = None
    namespace: str | None = None
    target: str | None = None
    repeated: bool = False
    audit_id: str | None = None
    audit_status: int = 0

    @property
    def method(self) -> str:
        """HTTP's method."""
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        """The path, decoded."""
        return str(self.scope["path"])

    @property
    def template(self) -> str | None:
        """The route's path with its parameters' names; None when no route matched.

        A route knows its path within its router only; what comes before holds no parameters.
        """
        within: str | None = getattr(self.scope.get("route"), "path_format", None)
        if within is None:
            return None
        parts = self.path.split("/")
        return "/".join(parts[: len(parts) - within.count("/")]) + within

    @property
    def success(self) -> int:
        """The status that the route answers when all goes well."""
        return getattr(self.scope.get("route"), "status_code", None) or 200


_request: ContextVar[RequestContext | None] = ContextVar("sparsegrad_request", default=None)
_job_id: ContextVar[str | None] = ContextVar("sparsegrad_job", default=None)


def request() -> RequestContext | None:
    """The request at hand; None outside of one."""
    return _request.get()


def concern(namespace: str, target: str | None = None, *, repeated: bool = False) -> None:
    """Note what the request at hand, if there is one, is about: for the audit log.

    Args:
        namespace: what it concerns.
        target: what it changes; its path, when not given.
        repeated: whether all requests of its token, route and target share a row there.
    """
    if (current := _request.get()) is not None:
        current.namespace = namespace
        current.target = target
        current.repeated = repeated


def job_id() -> str | None:
    """The job at hand; None outside of one."""
    return _job_id.get()


@contextmanager
def answering(current: RequestContext) -> Iterator[None]:
    """Have `current` be the request at hand."""
    reset = _request.set(current)
    try:
        yield
    finally:
        _request.reset(reset)


@contextmanager
def working_on(job: str) -> Iterator[None]:
    """Have a job be the one at hand."""
    reset = _job_id.set(job)
    try:
        yield
    finally:
        _job_id.reset(reset)
