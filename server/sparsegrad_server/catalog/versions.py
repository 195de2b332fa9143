"""What may be done to a version: tags, a pin, deletion. What it is never changes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from sparsegrad_shared.bases import VersionMarks
from sparsegrad_shared.errors import VersionInUse
from sparsegrad_shared.references import BasisReference

from . import bases, namespaces, tags
from .tables import AliasRow, VersionRow


def held(session: Session, namespace: str, name: str, version: int) -> VersionRow:
    """A version that no other transaction changes until this one ends.

    Raises:
        UnknownBasis: when there is none; says which ones there are.
        DeletedBasis: when there was.
    """
    namespaces.hold(session, namespace)
    return bases.resolve(session, BasisReference(namespace, name, version), namespace)


def marks(session: Session, row: VersionRow) -> VersionMarks:
    """What people have put on a version."""
    return VersionMarks(
        name=f"{row.namespace}/{row.name}",
        version=row.version,
        digest=row.digest,
        tags=tags.of(session, row),
        pinned=row.pinned,
    )


def delete(session: Session, row: VersionRow, now: datetime) -> None:
    """Delete a version: nobody finds it any more, and its number is never given out again.

    Its files go when no other version has the same content (`sparsegrad-server gc`).

    Raises:
        VersionInUse: when an alias names it, or it is pinned; says which.
    """
    aliases = list(
        session.scalars(
            select(AliasRow.alias)
            .where(
                AliasRow.namespace == row.namespace,
                AliasRow.name == row.name,
                AliasRow.version == row.version,
            )
            .order_by(AliasRow.alias)
        )
    )
    version = f"{row.namespace}/{row.name}@{row.version}"
    if aliases:
        raise VersionInUse(
            f"{version} cannot be deleted: {', '.join(f':{alias}' for alias in aliases)} "
            "names it; move or delete the alias first"
        )
    if row.pinned:
        raise VersionInUse(f"{version} cannot be deleted: it is pinned; unpin it first")
    row.deleted = now
    session.flush()
