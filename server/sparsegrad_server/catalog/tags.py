"""Tags: words that a version can be found by."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from sparsegrad_shared.calibrations import MAX_TAGS
from sparsegrad_shared.errors import InvalidInput

from .tables import TagRow, VersionRow


def of(session: Session, version: VersionRow) -> tuple[str, ...]:
    """A version's tags, in order."""
    return tuple(
        session.scalars(
            select(TagRow.tag)
            .where(
                TagRow.namespace == version.namespace,
                TagRow.name == version.name,
                TagRow.version == version.version,
            )
            .order_by(TagRow.tag)
        )
    )


def add(session: Session, version: VersionRow, words: Iterable[str]) -> None:
    """Put tags on a version; those that it has already stay.

    Raises:
        InvalidInput: when it would have too many.
    """
    present = set(of(session, version))
    new = set(words) - present
    if len(present) + len(new) > MAX_TAGS:
        raise InvalidInput(
            f"{version.namespace}/{version.name}@{version.version} has {len(present)} tags, and "
            f"{len(new)} more were asked for; a version takes {MAX_TAGS}: remove some"
        )
    for word in sorted(new):
        session.add(
            TagRow(
                namespace=version.namespace, name=version.name, version=version.version, tag=word
            )
        )
    session.flush()


def remove(session: Session, version: VersionRow, word: str) -> None:
    """Take a tag off a version; one that it does not have is gone already."""
    row = session.get(TagRow, (version.namespace, version.name, version.version, word))
    if row is not None:
        session.delete(row)
        session.flush()
