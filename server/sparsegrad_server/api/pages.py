"""The description of this interface: as OpenAPI for programs, as a page for people."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

from ..web.reference import CONTENT_SECURITY_POLICY, render_reference

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
def describe(request: Request) -> JSONResponse:
    """The OpenAPI document."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
def show_reference(request: Request) -> HTMLResponse:
    """The same as a page: one answer, no scripts, nothing loaded from anywhere."""
    return HTMLResponse(
        render_reference(request.app.openapi()),
        headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY},
    )
