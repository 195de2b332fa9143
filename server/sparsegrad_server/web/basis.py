"""One basis: where it comes from, how good it is, how to use it."""

from __future__ import annotations

import re

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from sparsegrad_shared.bases import REPORT_FILE, BasisVersion
from sparsegrad_shared.errors import CorruptFile
from sparsegrad_shared.references import BasisReference, Segment
from sparsegrad_shared.report import BasisReport
from sparsegrad_shared.search import BasisQuery

from ..api.dependencies import BasesOf, CatalogOf
from ..api.visibility import check_visible
from ..catalog import aliases, bases, search
from ..store.bases import BasisStore
from . import basis_views
from .rendering import page
from .visitors import Viewer, page_router

VERSIONS = 50  # of the name that are listed, newest first
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")

router = page_router(prefix="/bases/{namespace}/{name}")


@router.get("", status_code=303)
def show_latest(
    namespace: Segment, name: Segment, principal: Viewer, catalog: CatalogOf
) -> RedirectResponse:
    """On to the latest version of a name."""
    with catalog.reading() as session:
        row = bases.resolve(session, BasisReference(namespace, name), principal.namespace)
    return RedirectResponse(f"/bases/{namespace}/{name}/{row.version}", status_code=303)


@router.get("/{which}")
def show_basis(
    request: Request,
    namespace: Segment,
    name: Segment,
    which: Segment,
    principal: Viewer,
    catalog: CatalogOf,
    store: BasesOf,
    group: Segment | None = None,
) -> HTMLResponse:
    """A version by its number, or by an alias that names it at present; with one of its groups."""
    check_visible(namespace, name, principal)
    reference = _reference(namespace, name, which)
    with catalog.reading() as session:
        row = bases.resolve(session, reference, principal.namespace)
        basis = bases.describe(session, [row])[0]
        query = BasisQuery(name=basis.name, limit=VERSIONS)
        versions = search.search(session, query, principal.namespace)
        names = [
            aliases.status(session, namespace, name, each.alias)
            for each in aliases.every(session, namespace, name).aliases
        ]
    report = _report_of(store, basis)
    return page(
        request,
        "basis.html",
        basis=basis,
        alias=reference.alias,
        address=f"/bases/{basis.name}/{which}",
        versions=versions,
        aliases=names,
        summary=basis_views.summary_of(basis.manifest, report),
        groups=basis_views.groups_of(basis.manifest, report),
        group=basis_views.group_of(basis.manifest, report, group),
        snippets=basis_views.snippets_of(basis, str(request.base_url).rstrip("/")),
    )


def _reference(namespace: str, name: str, which: str) -> BasisReference:
    if _NUMBER.fullmatch(which):
        return BasisReference(namespace, name, version=int(which))
    return BasisReference(namespace, name, alias=which)


def _report_of(store: BasisStore, basis: BasisVersion) -> BasisReport:
    """A basis's report.

    Raises:
        CorruptFile: when its bytes are not a report.
    """
    content = store.file(basis.digest, REPORT_FILE).read_bytes()
    try:
        return BasisReport.model_validate_json(content)
    except ValueError as error:
        raise CorruptFile(f"{basis}: {REPORT_FILE}: {error}") from None
