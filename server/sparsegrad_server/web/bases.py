"""The list of bases: searched, filtered, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from pydantic import ValidationError

from sparsegrad_shared.bases import BasisList
from sparsegrad_shared.errors import InvalidInput
from sparsegrad_shared.search import BasisQuery

from ..api.dependencies import CatalogOf
from ..auth.principal import EVERY_NAMESPACE
from ..catalog import search
from .basis_views import server_snippet
from .complaints import by_field, by_name
from .rendering import page
from .visitors import Viewer, page_router

PATH = "/bases"
PAGE = 25
FILTERS = ("model", "dataset", "shape", "tag", "alias", "name", "namespace")
_SEVERAL = ("shape", "tag")

router = page_router(prefix=PATH)


@router.get("")
def list_bases(request: Request, principal: Viewer, catalog: CatalogOf) -> HTMLResponse:
    """The bases that the visitor may see and has asked for, newest first."""
    asked = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
    found, complaints = BasisList(bases=()), {}
    with catalog.reading() as session:
        try:
            found = search.search(session, _query(asked), principal.namespace)
        except ValidationError as error:
            complaints = by_field(error)
        except InvalidInput as error:  # too many words, or a mark of another list
            complaints = by_name(error)
        models = search.models(session, principal.namespace)
        datasets = search.datasets(session, principal.namespace)
    answer = page(
        request,
        "bases.html",
        status=InvalidInput.status if complaints else 200,
        asked=asked,
        filters=[name for name in FILTERS if asked.get(name)],
        complaints=complaints,
        bases=found.bases,
        # With no basis at all there is nothing to search in.
        searchable=bool(asked or found.bases),
        server=server_snippet(str(request.base_url).rstrip("/")),
        models=models,
        datasets=datasets,
        everywhere=principal.namespace == EVERY_NAMESPACE,
        first=_address(asked, None) if "after" in asked else None,
        later=None if found.next is None else _address(asked, found.next),
    )
    # What stands in the browser's address can be sent to a colleague as it is.
    answer.headers["HX-Replace-Url"] = _address(asked, asked.get("after"))
    return answer


def _query(asked: Mapping[str, str]) -> BasisQuery:
    """The search that the fields ask for; those that hold several values part them by spaces.

    Raises:
        ValidationError: when a field cannot be what it says.
    """
    values: dict[str, object] = {
        name: asked[name] for name in ("q", *FILTERS, "after") if name in asked
    }
    several = {name: tuple(asked[name].split()) for name in _SEVERAL if name in asked}
    return BasisQuery.model_validate({**values, **several, "limit": PAGE})


def _address(asked: Mapping[str, str], after: str | None) -> str:
    kept = {name: asked[name] for name in ("q", *FILTERS) if name in asked}
    if after is not None:
        kept["after"] = after
    return f"{PATH}?{urlencode(kept)}" if kept else PATH
