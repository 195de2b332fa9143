"""The server itself: what it holds, how it is, who changed what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from fastapi import Request
from fastapi.responses import HTMLResponse

from ..api.dependencies import AdmissionOf, CatalogOf, SettingsOf
from ..auth.principal import EVERY_NAMESPACE
from ..catalog import audit
from ..catalog.audit import AuditQuery
from ..overview import overview
from .rendering import page
from .visitors import Administrator, page_router

PATH = "/system"
ENTRIES = 20  # of the audit log

router = page_router("admin", prefix=PATH)


@router.get("")
def show_system(
    request: Request,
    principal: Administrator,
    catalog: CatalogOf,
    settings: SettingsOf,
    admission: AdmissionOf,
) -> HTMLResponse:
    """What an administrator may know of the server: all of it, or a namespace's part."""
    everywhere = principal.namespace == EVERY_NAMESPACE
    query = AuditQuery(namespace=None if everywhere else principal.namespace)
    with catalog.reading() as session:
        entries = audit.search(session, query, ENTRIES).entries
    started = cast(datetime, request.app.state.started)
    return page(
        request,
        "system.html",
        about=overview(catalog, settings, principal.namespace, admission.under_way),
        uptime=(datetime.now(UTC) - started).total_seconds(),
        entries=entries,
    )
