"""Browsers' sessions that have ended."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import delete, func, select

from ..catalog.tables import SessionRow
from .parts import Parts
from .spare import Age, Spare


def spare_sessions(parts: Parts, age: Age) -> Iterator[Spare]:
    """What nobody can use any more, whatever the grace is."""
    ended = SessionRow.expires <= age.now
    with parts.catalog.reading() as session:
        count = session.scalar(select(func.count()).select_from(SessionRow).where(ended)) or 0

    def sweep() -> bool:
        with parts.catalog.writing() as session:
            session.execute(delete(SessionRow).where(ended))
        return True

    if count:
        yield Spare(f"sessions of browsers that have ended: {count}", 0, sweep)
