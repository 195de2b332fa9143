"""Whether every basis that a version names is there, whole, and as the catalog says it is."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select

from sparsegrad_shared.bases import BasisManifest
from sparsegrad_shared.errors import CorruptFile

from ..catalog.bases import live
from ..catalog.tables import BasisGroupRow, BasisRow, VersionRow
from ..store.objects import StorageUnreachable
from .findings import Notes
from .parts import Parts

_RESTORE = "put its files back from a copy, import it again, or calibrate again"
_CATALOG = "restore the catalog from its last backup"


def check_bases(parts: Parts, notes: Notes) -> None:
    """Read every file of every basis that a version names, and hold it to its digest."""
    for digest, names in _named(parts):
        where = f"basis {digest} ({names})"
        try:
            manifest = parts.bases.verify(digest)
        except CorruptFile as error:
            if _is_named(parts, digest):  # and not one that was deleted while we looked
                notes.add(where, error.message, _RESTORE)
        except StorageUnreachable:  # which says nothing of the basis: no check without the store
            raise
        except OSError as error:
            notes.add(where, f"it cannot be read: {error.strerror or error}", _RESTORE)
        else:
            _check_row(parts, notes, where, manifest)
            notes.read(sum(entry.bytes for entry in manifest.files()))
        notes.looked_at["bases"] += 1


def _check_row(parts: Parts, notes: Notes, where: str, manifest: BasisManifest) -> None:
    """Hold what the catalog copies from a manifest, for its search, to the manifest."""
    digest = manifest.digest()
    with parts.catalog.reading() as session:
        row = session.get_one(BasisRow, digest)
        shapes = {
            (group.name, group.d_out, group.d_in)
            for group in session.scalars(
                select(BasisGroupRow).where(BasisGroupRow.digest == digest)
            )
        }
    if row.manifest.encode() != manifest.canonical_bytes():
        notes.add(where, "the catalog has another manifest than the store", _CATALOG)
    said = row.model, row.dataset, shapes
    meant = (
        manifest.model.id,
        manifest.dataset.id,
        {(group.name, group.d_out, group.d_in) for group in manifest.groups},
    )
    if said != meant:
        notes.add(where, "what the catalog searches by is not what the manifest says", _CATALOG)


def _named(parts: Parts) -> Iterator[tuple[str, str]]:
    """The digests that versions name, each with the names."""
    with parts.catalog.reading() as session:
        versions = list(
            session.execute(
                select(VersionRow.digest, VersionRow.namespace, VersionRow.name, VersionRow.version)
                .where(live())
                .order_by(VersionRow.digest, VersionRow.namespace, VersionRow.name)
            )
        )
    names: dict[str, list[str]] = {}
    for digest, namespace, name, version in versions:
        names.setdefault(digest, []).append(f"{namespace}/{name}@{version}")
    return ((digest, ", ".join(named)) for digest, named in names.items())


def _is_named(parts: Parts, digest: str) -> bool:
    with parts.catalog.reading() as session:
        named = select(VersionRow.version).where(VersionRow.digest == digest, live()).limit(1)
        return session.scalar(named) is not None
