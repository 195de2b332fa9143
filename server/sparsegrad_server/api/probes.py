"""Probes: they need no token, and tell nothing but whether to send work."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import text

from sparsegrad_shared.errors import Stopping

from ..ingest.admission import check_disk
from .dependencies import CatalogOf, DrainingOf, SettingsOf

router = APIRouter(tags=["probes"])


class Alive(BaseModel):
    """What a probe says when all is well."""

    status: Literal["ok"] = "ok"


@router.get("/livez")
async def live() -> Alive:
    """The process answers; a restart would not help whatever else is wrong."""
    return Alive()


@router.get("/readyz")
def ready(catalog: CatalogOf, settings: SettingsOf, draining: DrainingOf) -> Alive:
    """The catalog answers, the disk has room (507 before it is full), and no stop was asked for."""
    if draining.is_set():
        raise Stopping(
            "this server is stopping; another one, or this one started anew, will answer"
        )
    check_disk(settings.data, settings.max_gradient_bytes, settings.min_free_bytes)
    with catalog.reading() as session:
        session.execute(text("SELECT 1"))
    return Alive()
