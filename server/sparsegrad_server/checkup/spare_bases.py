"""Bases that no version names, and what is left of bases that were set aside.

A publication places its files, then names them in a transaction in which it looks once more
whether they are there. A removal locks the basis's row, looks whether a version or an alias names
it, and removes within the same transaction. So one of the two sees the other, whichever is first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import and_, exists, func, or_, select
from sqlalchemy.orm import Session

from ..catalog.bases import live
from ..catalog.inserting import insert_if_absent
from ..catalog.tables import AliasRow, BasisRow, VersionRow
from .parts import Parts
from .spare import DAMAGED_GRACES, Age, Spare

_HEX = re.compile("[0-9a-f]{64}")


def spare_bases(parts: Parts, age: Age) -> Iterator[Spare]:
    """Whole bases that no version names."""
    for digest in sorted(parts.bases.digests()):
        with parts.catalog.reading() as session:
            if _is_named(session, digest):
                continue
            deleted = session.scalar(
                select(func.max(VersionRow.deleted)).where(VersionRow.digest == digest)
            )
        footprint = parts.bases.footprint(digest)
        changed = footprint.changed if deleted is None else max(footprint.changed, deleted)
        if age.is_over(changed):
            what = f"basis that no version names: {digest}"
            yield Spare(what, footprint.bytes, partial(_remove, parts, digest))


def spare_set_aside(parts: Parts, age: Age) -> Iterator[Spare]:
    """Damaged bases, and removals and publications that were cut short."""
    for found in parts.bases.set_aside():
        if age.is_over(found.footprint.changed, DAMAGED_GRACES if found.damaged else 1):
            kind = "damaged basis" if found.damaged else "half of a basis"
            what = f"{kind}: {found.name}"
            yield Spare(what, found.footprint.bytes, partial(_discard, parts, found.name))


def _remove(parts: Parts, digest: str) -> bool:
    with parts.catalog.writing() as session:
        placeholder = _lock(session, digest)
        if _is_named(session, digest):
            return False
        parts.bases.delete(digest)
        if placeholder:
            session.delete(session.get_one(BasisRow, digest))
    return True


def _discard(parts: Parts, name: str) -> bool:
    if not _HEX.fullmatch(name):  # a name that no publication goes to
        parts.bases.discard(name)
        return True
    with parts.catalog.writing() as session:
        digest = f"sha256:{name}"
        placeholder = _lock(session, digest)
        if parts.bases.holds(digest):
            return False  # a publication has made it whole
        parts.bases.discard(name)
        if placeholder:
            session.delete(session.get_one(BasisRow, digest))
    return True


def _lock(session: Session, digest: str) -> bool:
    """Keep others from naming the basis until the transaction ends.

    Answers whether a row had to be made for it, which has to go again: whoever inserts the same
    key meanwhile waits for the end.
    """
    nothing = {"manifest": "", "model": "", "dataset": "", "created": datetime.now(UTC)}
    if insert_if_absent(session, BasisRow, digest=digest, **nothing):
        return True
    session.get(BasisRow, digest, populate_existing=True, with_for_update=True)
    return False


def _is_named(session: Session, digest: str) -> bool:
    """Whether a version that was not deleted, a pin or an alias names it."""
    alias = exists().where(
        and_(
            AliasRow.namespace == VersionRow.namespace,
            AliasRow.name == VersionRow.name,
            AliasRow.version == VersionRow.version,
        )
    )
    named = or_(live(), VersionRow.pinned, alias)
    found = select(VersionRow.version).where(VersionRow.digest == digest, named).limit(1)
    return session.scalar(found) is not None
