"""What may be done to a version: tags, a pin, deletion."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Depends

from sparsegrad_shared.bases import BasisVersion, VersionMarks
from sparsegrad_shared.references import Segment

from ..catalog import tags, versions
from .dependencies import CatalogOf, Writer
from .visibility import Version, VisibleVersion, visible_name

router = APIRouter(tags=["versions"], prefix="/bases/{namespace}/{name}/versions/{version}")
_changes = [Depends(visible_name)]


@router.get("")
def get_version(basis: VisibleVersion) -> BasisVersion:
    """A version: its manifest, where it comes from, and the aliases that name it."""
    return basis


@router.delete("", status_code=204, dependencies=_changes)
def delete_version(
    namespace: Segment, name: Segment, version: Version, principal: Writer, catalog: CatalogOf
) -> None:
    """Delete a version that neither an alias nor a pin holds.

    Its number is never given out again: the same content, published again, gets a new one.
    """
    with catalog.writing() as session:
        row = versions.held(session, namespace, name, version)
        versions.delete(session, row, datetime.now(UTC))


@router.put("/tags/{tag}", dependencies=_changes)
def add_tag(
    namespace: Segment,
    name: Segment,
    version: Version,
    tag: Segment,
    principal: Writer,
    catalog: CatalogOf,
) -> VersionMarks:
    """Put a tag on a version, for the search."""
    with catalog.writing() as session:
        row = versions.held(session, namespace, name, version)
        tags.add(session, row, [tag])
        return versions.marks(session, row)


@router.delete("/tags/{tag}", dependencies=_changes)
def remove_tag(
    namespace: Segment,
    name: Segment,
    version: Version,
    tag: Segment,
    principal: Writer,
    catalog: CatalogOf,
) -> VersionMarks:
    """Take a tag off a version."""
    with catalog.writing() as session:
        row = versions.held(session, namespace, name, version)
        tags.remove(session, row, tag)
        return versions.marks(session, row)


@router.put("/pin", dependencies=_changes)
def pin_version(
    namespace: Segment, name: Segment, version: Version, principal: Writer, catalog: CatalogOf
) -> VersionMarks:
    """Have a version not be deleted."""
    return _pin(catalog, namespace, name, version, pinned=True)


@router.delete("/pin", dependencies=_changes)
def unpin_version(
    namespace: Segment, name: Segment, version: Version, principal: Writer, catalog: CatalogOf
) -> VersionMarks:
    """Lift a pin."""
    return _pin(catalog, namespace, name, version, pinned=False)


def _pin(
    catalog: CatalogOf, namespace: str, name: str, version: int, *, pinned: bool
) -> VersionMarks:
    with catalog.writing() as session:
        row = versions.held(session, namespace, name, version)
        row.pinned = pinned
        return versions.marks(session, row)
