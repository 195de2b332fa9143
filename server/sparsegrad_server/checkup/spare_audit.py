"""Rows of the audit log that have been kept for long enough."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import func, select

from ..catalog import audit
from ..catalog.tables import AuditRow
from .parts import Parts
from .spare import Age, Spare


def spare_audit(parts: Parts, age: Age) -> Iterator[Spare]:
    """What is older than the setting `audit_days`, whatever the grace is."""
    before = age.now - timedelta(days=parts.settings.audit_days)
    with parts.catalog.reading() as session:
        old = session.scalar(select(func.count()).where(AuditRow.at < before)) or 0

    def sweep() -> bool:
        with parts.catalog.writing() as session:
            return audit.sweep(session, before) > 0

    if old:
        yield Spare(f"rows of the audit log before {before:%Y-%m-%d}: {old}", 0, sweep)
