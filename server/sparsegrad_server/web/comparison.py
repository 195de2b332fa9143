"""Two bases side by side: how much of their leading subspaces they share."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from anyio.to_thread import run_sync
from fastapi import Query, Request
from fastapi.responses import HTMLResponse

from sparsegrad_shared.bases import BasisDifference, BasisVersion
from sparsegrad_shared.errors import InvalidInput, Overloaded, SparseGradError
from sparsegrad_shared.references import BasisReference
from sparsegrad_shared.search import BasisQuery

from ..api.dependencies import CatalogOf, ComparisonsOf
from ..catalog import Catalog, bases, search
from . import comparison_views, words
from .rendering import page
from .visitors import Viewer, page_router

PROPOSED = 100  # versions that the fields propose
OFFERED = 8  # bases to compare with, once one is chosen
PATH = "/compare"

router = page_router(prefix=PATH)
Text = Annotated[str, Query(max_length=300)]


@router.get("")
async def compare(
    request: Request,
    principal: Viewer,
    catalog: CatalogOf,
    comparisons: ComparisonsOf,
    a: Text = "",
    b: Text = "",
    group: Text = "",
) -> HTMLResponse:
    """The form for two references, and, once it has both, how far they lie apart."""
    asked = {"a": a.strip(), "b": b.strip()}
    complaints: dict[str, str] = {}
    found = await run_sync(_resolve, catalog, principal.namespace, asked, complaints)
    difference: BasisDifference | None = None
    if len(found) == len(asked):
        ours, theirs = (BasisReference.parse(found[field].digest) for field in asked)
        try:
            difference = await comparisons.compare(ours, theirs, principal.namespace)
        except Overloaded:
            raise
        except InvalidInput as error:  # nothing in common, or shapes that differ
            complaints["b"] = words.sentence(error.message)
    proposals = await run_sync(_proposals, catalog, principal.namespace)
    offers = await run_sync(_offers, catalog, principal.namespace, asked, found)
    status = InvalidInput.status if complaints else 200
    return await run_sync(
        lambda: page(
            request,
            "compare.html",
            status=status,
            asked=asked,
            complaints=complaints,
            found=found,
            proposals=proposals,
            offers=offers,
            groups=comparison_views.groups_of(found["a"], difference) if difference else [],
            chosen=group,
        )
    )


def _resolve(
    catalog: Catalog, namespace: str, asked: dict[str, str], complaints: dict[str, str]
) -> dict[str, BasisVersion]:
    """The versions that the fields name; what is wrong with a field goes to `complaints`."""
    found = {}
    with catalog.reading() as session:
        for field, text in asked.items():
            if not text:
                continue
            try:
                row = bases.resolve(session, BasisReference.parse(text), namespace)
                found[field] = bases.describe(session, [row])[0]
            except SparseGradError as error:
                complaints[field] = words.sentence(error.message)
    return found


def _proposals(catalog: Catalog, namespace: str) -> list[str]:
    with catalog.reading() as session:
        newest = search.search(session, BasisQuery(limit=PROPOSED), namespace).bases
    return [str(basis) for basis in newest]


def _offers(
    catalog: Catalog, namespace: str, asked: dict[str, str], found: dict[str, BasisVersion]
) -> list[tuple[BasisVersion, str]]:
    """What the one basis that was chosen can be compared with, each with the address of it."""
    if len(found) != 1 or all(asked.values()):
        return []
    (chosen,) = found.values()
    query = BasisQuery(model=chosen.manifest.model.id, limit=PROPOSED)
    with catalog.reading() as session:
        alike = search.search(session, query, namespace).bases
    others = [other for other in alike if comparison_views.comparable(chosen, other)]
    return [(other, f"{PATH}?{urlencode({'a': chosen, 'b': other})}") for other in others[:OFFERED]]
