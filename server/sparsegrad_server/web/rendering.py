"""Templates to pages: every text escaped, every name known, nothing from elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from .. import context
from ..auth.principal import Principal
from . import words
from .basis_views import shapes_of, size_of
from .navigation import items_for
from .static_files import address

# No inline script, style attribute or eval: what a page does, a file of this server says.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    # With no referrer at all, browsers would not say either where a form was sent from.
    "Referrer-Policy": "same-origin",
}


def page(
    request: Request, template: str, /, *, status: int = 200, **values: object
) -> HTMLResponse:
    """A page.

    Args:
        request: what it answers; the page shows who is signed in.
        template: its file in `templates`.
        status: of the answer.
        values: what the template asks for; one that it lacks is an error.
    """
    return HTMLResponse(render(template, request.url.path, **values), status, HEADERS)


def render(template: str, path: str, /, **values: object) -> str:
    """The text of a page at a path."""
    current = context.request()
    principal = current.principal if current is not None else None
    return (
        environment()
        .get_template(template)
        .render(
            path=path,
            principal=principal,
            navigation=_navigation(principal, path),
            now=datetime.now(UTC),
            **values,
        )
    )


@cache
def environment() -> Environment:
    """The templates, and what each may use beside its own values."""
    templates = Environment(
        loader=PackageLoader("sparsegrad_server.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.globals["asset"] = address
    templates.filters |= words.FILTERS
    templates.filters["basis_size"] = size_of
    templates.filters["basis_shapes"] = shapes_of
    return templates


def _navigation(principal: Principal | None, path: str) -> list[dict[str, object]]:
    if principal is None:
        return []
    return [
        {"title": item.title, "path": item.path, "here": item.holds(path)}
        for item in items_for(principal)
    ]
