"""Which pages there are."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import RedirectResponse

from . import (
    bases,
    basis,
    calibrations,
    comparison,
    jobs,
    sign_in,
    static_files,
    system,
    tokens,
)
from .visitors import HOME

router = APIRouter(include_in_schema=False)
router.include_router(static_files.router)
router.include_router(sign_in.router)
router.include_router(bases.router)
router.include_router(basis.router)
router.include_router(comparison.router)
router.include_router(calibrations.router)
router.include_router(jobs.router)
router.include_router(tokens.router)
router.include_router(system.router)


@router.get("/", status_code=303)
def go_home() -> RedirectResponse:
    """The first page is the list of bases."""
    return RedirectResponse(HOME, status_code=303)
