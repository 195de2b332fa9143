"""What routes ask for: the token's holder, and the parts that `create_app` put together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

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
from ..settings import Settings
from ..sharing.imports import Imports
from ..store.bases import BasisStore
from ..store.files import Staging
from ..store.gradients import GradientStore

# Declares the scheme in the OpenAPI description; that a token is needed is decided below.
_bearer = HTTPBearer(auto_error=False, description="a token of `sparsegrad-server token create`")


def gate_of(request: Request) -> Gate:
    """What lets requests in."""
    return cast(Gate, request.app.state.gate)


def settings_of(request: Request) -> Settings:
    """The server's settings."""
    return cast(Settings, request.app.state.settings)


def catalog_of(request: Request) -> Catalog:
    """The catalog."""
    return cast(Catalog, request.app.state.catalog)


def gradients_of(request: Request) -> GradientStore:
    """The gradient store."""
    return cast(GradientStore, request.app.state.gradients)


def bases_of(request: Request) -> BasisStore:
    """The store of bases."""
    return cast(BasisStore, request.app.state.bases)


def staging_of(request: Request) -> Staging:
    """The folder for what is not whole yet."""
    return cast(Staging, request.app.state.staging)


def admission_of(request: Request) -> Admission:
    """Who may upload at this moment."""
    return cast(Admission, request.app.state.admission)


def uploads_of(request: Request) -> Uploads:
    """What takes gradients into the store."""
    return cast(Uploads, request.app.state.uploads)


def comparisons_of(request: Request) -> Comparisons:
    """What works out how far two bases lie apart."""
    return cast(Comparisons, request.app.state.comparisons)


def imports_of(request: Request) -> Imports:
    """What takes bases from elsewhere."""
    return cast(Imports, request.app.state.imports)


def draining_of(request: Request) -> threading.Event:
    """Set once the server is asked to stop."""
    return cast(threading.Event, request.app.state.draining)


GateOf = Annotated[Gate, Depends(gate_of)]
SettingsOf = Annotated[Settings, Depends(settings_of)]
DrainingOf = Annotated[threading.Event, Depends(draining_of)]
CatalogOf = Annotated[Catalog, Depends(catalog_of)]
GradientsOf = Annotated[GradientStore, Depends(gradients_of)]
BasesOf = Annotated[BasisStore, Depends(bases_of)]
StagingOf = Annotated[Staging, Depends(staging_of)]
AdmissionOf = Annotated[Admission, Depends(admission_of)]
UploadsOf = Annotated[Uploads, Depends(uploads_of)]
ComparisonsOf = Annotated[Comparisons, Depends(comparisons_of)]
ImportsOf = Annotated[Imports, Depends(imports_of)]


def authenticate(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Principal:
    """The holder of the request's token.

    Raises:
        Unauthenticated: when there is no token, or none that holds.
        Overloaded: when it comes more often than it may.
    """
    if credentials is None:
        raise Unauthenticated(
            "this needs a token: Authorization: Bearer sg_…; "
            "`sparsegrad-server token create` makes one"
        )
    address = request.client.host if request.client else ""
    principal, allowance = gate_of(request).enter(
        credentials.credentials, address, datetime.now(UTC), time.monotonic()
    )
    return admit(principal, allowance)


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


def authorize(scope: Scope) -> Callable[[Principal], Principal]:
    """A dependency: the request's token, held to a scope."""

    def authorized(principal: Annotated[Principal, Depends(authenticate)]) -> Principal:
        principal.require(scope)
        return principal

    return authorized


Reader = Annotated[Principal, Depends(authorize("read"))]
Writer = Annotated[Principal, Depends(authorize("write"))]
Admin = Annotated[Principal, Depends(authorize("admin"))]
MetricsReader = Annotated[Principal, Depends(authorize("metrics"))]
