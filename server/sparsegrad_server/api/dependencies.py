"""What routes ask for: the token's holder, and the parts that `create_app` put together."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Address

from sparsegrad_shared.errors import Overloaded, Unauthenticated
from sparsegrad_shared.tokens import Scope

from .. import context
from ..auth.gate import Gate
from ..auth.limits import Allowance
from ..auth.principal import Principal
from ..catalog import Catalog
from ..ingest.admission import Admission
from ..ingest.uploads import Uploads
from ..jobs.comparing import Comparisons
from ..live.streams import Streams
from ..settings import Settings
from ..sharing.imports import Imports
from ..store.bases import BasisStore
from ..store.files import Staging
from ..store.gradients import GradientStore

# Declares the scheme in the OpenAPI description; that a token is needed is decided below.
_bearer = HTTPBearer(auto_error=False, description="a token of `sparsegrad-server token create`")


def _part(name: str) -> Callable[[Request], Awaitable[Any]]:
    """A dependency: the part of that name.

    Async, though it waits for nothing: a plain function would have a thread of its own started.
    """

    async def part(request: Request) -> Any:  # noqa: ANN401  # each name has its type below
        return getattr(request.app.state, name)

    return part


GateOf = Annotated[Gate, Depends(_part("gate"))]
SettingsOf = Annotated[Settings, Depends(_part("settings"))]
DrainingOf = Annotated[threading.Event, Depends(_part("draining"))]
CatalogOf = Annotated[Catalog, Depends(_part("catalog"))]
GradientsOf = Annotated[GradientStore, Depends(_part("gradients"))]
BasesOf = Annotated[BasisStore, Depends(_part("bases"))]
StagingOf = Annotated[Staging, Depends(_part("staging"))]
AdmissionOf = Annotated[Admission, Depends(_part("admission"))]
UploadsOf = Annotated[Uploads, Depends(_part("uploads"))]
ComparisonsOf = Annotated[Comparisons, Depends(_part("comparisons"))]
ImportsOf = Annotated[Imports, Depends(_part("imports"))]
StreamsOf = Annotated[Streams, Depends(_part("job_streams"))]


async def authenticate(
    request: Request,
    gate: GateOf,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Principal:
    """The holder of the request's token; one that came with a body was asked for it already.

    Raises:
        Unauthenticated: when there is no token, or none that holds.
        Overloaded: when it comes more often than it may.
    """
    current = context.request()
    if current is not None and current.principal is not None:
        return current.principal
    secret = None if credentials is None else credentials.credentials
    return await run_sync(enter, gate, secret, request.client)


def enter(gate: Gate, secret: str | None, client: Address | None) -> Principal:
    """Let a request in by its token.

    Args:
        gate: knows the tokens.
        secret: the token; None when there is none.
        client: where the request comes from, if that is known.

    Raises:
        Unauthenticated: when there is no token, or none that holds.
        Overloaded: when it comes more often than it may.
    """
    if secret is None:
        raise Unauthenticated(
            "this needs a token: Authorization: Bearer sg_…; "
            "`sparsegrad-server token create` makes one"
        )
    address = client.host if client else ""
    return admit(*gate.enter(secret, address, datetime.now(UTC), time.monotonic()))


def admit(principal: Principal, allowance: Allowance) -> Principal:
    """Note whose request this is, and hold it to what its token may still do.

    Raises:
        Overloaded: when the token comes more often than it may.
    """
    if (current := context.request()) is not None:
        current.principal, current.allowance = principal, allowance
    if not allowance.granted:
        raise Overloaded(
            f"token {principal.name!r} comes too often; at most {allowance.rate.burst} requests "
            f"at once and {allowance.rate.per_second:g} a second",
            retry_after=allowance.retry_after,
        )
    return principal


def authorize(scope: Scope) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency: the request's token, held to a scope."""

    async def authorized(principal: Annotated[Principal, Depends(authenticate)]) -> Principal:
        principal.require(scope)
        return principal

    return authorized


Reader = Annotated[Principal, Depends(authorize("read"))]
Writer = Annotated[Principal, Depends(authorize("write"))]
Admin = Annotated[Principal, Depends(authorize("admin"))]
MetricsReader = Annotated[Principal, Depends(authorize("metrics"))]
