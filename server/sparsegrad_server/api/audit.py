"""The audit log over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from sparsegrad_shared.audit import AuditPage
from sparsegrad_shared.calibrations import Text, Time
from sparsegrad_shared.references import Segment

from ..auth.principal import EVERY_NAMESPACE
from ..catalog import audit
from ..catalog.audit import AuditQuery
from .dependencies import Admin, CatalogOf

router = APIRouter(tags=["audit"], prefix="/audit")


@router.get("")
def read_audit(
    principal: Admin,
    catalog: CatalogOf,
    namespace: Segment | None = None,
    token: Annotated[Text | None, Query(description="name or id of who did it")] = None,
    action: Annotated[Text | None, Query(description="how the action begins")] = None,
    since: Time | None = None,
    until: Time | None = None,
    refused: bool | None = None,
    after: Annotated[Text | None, Query(description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditPage:
    """Who changed what, or was refused, newest first: of the token's namespace, or of all."""
    if namespace is not None:
        principal.check(namespace)
    elif principal.namespace != EVERY_NAMESPACE:
        namespace = principal.namespace
    query = AuditQuery(namespace, token, action, since, until, refused)
    with catalog.reading() as session:
        return audit.search(session, query, limit, after)
