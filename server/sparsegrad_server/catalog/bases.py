"""Bases and their versions, as the catalog knows them.

`namespace` is what the caller may see: one namespace, or `namespaces.EVERY_NAMESPACE`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, select, tuple_
from sqlalchemy.orm import Session

from sparsegrad_shared.bases import BasisManifest, BasisVersion, PublishedVersion
from sparsegrad_shared.calibrations import MAX_TAGS
from sparsegrad_shared.errors import DeletedBasis, UnknownBasis
from sparsegrad_shared.references import BasisReference

from . import calibrations, namespaces, tags
from .inserting import insert_if_absent
from .nearest import nearest_names
from .tables import AliasRow, BasisGroupRow, BasisRow, CalibrationRow, TagRow, VersionRow

_NAMED = 10  # versions and aliases that a message lists


def publish(
    session: Session, manifest: BasisManifest, calibration: CalibrationRow, now: datetime
) -> VersionRow:
    """Name a basis whose files are in the store: the next version of the calibration's name."""
    return add_version(
        session,
        manifest,
        calibration.namespace,
        calibration.name,
        by=calibration.created_by,
        now=now,
        calibration_id=calibration.id,
        words=calibrations.manifest_of(calibration).tags,
    )


def add_version(
    session: Session,
    manifest: BasisManifest,
    namespace: str,
    name: str,
    *,
    by: str,
    now: datetime,
    calibration_id: str | None = None,
    words: Sequence[str] = (),
) -> VersionRow:
    """Name a basis whose files are in the store: the next version of a name.

    The same content under the same name is the version that it was before, unless that one was
    deleted: its number is never given out again.

    Args:
        session: a writing transaction.
        manifest: the basis.
        namespace: where to.
        name: where to.
        by: the name of the token that asked for it.
        now: the time.
        calibration_id: where it was computed; None when it was imported.
        words: tags to put on the version, as many as it has room for.
    """
    namespaces.hold(session, namespace)
    digest = manifest.digest()
    _add(session, manifest, digest, now)
    under_name = (VersionRow.namespace == namespace, VersionRow.name == name)
    same = session.scalars(
        select(VersionRow).where(*under_name, VersionRow.digest == digest, live())
    )
    version = same.one_or_none()
    if version is None:
        latest = session.scalar(select(func.max(VersionRow.version)).where(*under_name))
        version = VersionRow(
            namespace=namespace,
            name=name,
            version=(latest or 0) + 1,
            digest=digest,
            calibration_id=calibration_id,
            created=now,
            created_by=by,
            pinned=False,
            deleted=None,
        )
        session.add(version)
        session.flush()
    # A version that is there already may have little room left: a job must not fail for a tag.
    tags.add(session, version, sorted(set(words))[: MAX_TAGS - len(tags.of(session, version))])
    return version


def _add(session: Session, manifest: BasisManifest, digest: str, now: datetime) -> None:
    new = insert_if_absent(
        session,
        BasisRow,
        digest=digest,
        manifest=manifest.canonical_bytes().decode(),
        model=manifest.model.id,
        dataset=manifest.dataset.id,
        created=now,
    )
    if not new:
        return
    session.add_all(
        BasisGroupRow(digest=digest, name=group.name, d_out=group.d_out, d_in=group.d_in)
        for group in manifest.groups
    )
    session.flush()


def resolve(session: Session, reference: BasisReference, namespace: str) -> VersionRow:
    """The one version that a reference names; a digest, its newest.

    Raises:
        UnknownBasis: when there is none that the caller may see; says which ones there are.
        DeletedBasis: when there was; says until when.
    """
    versions = _named(reference).where(visible(namespace))
    newest = versions.order_by(VersionRow.created.desc(), VersionRow.version.desc()).limit(1)
    row = session.scalars(newest.where(live())).one_or_none()
    if row is not None:
        return row
    if reference.version is not None or reference.digest is not None:
        gone = session.scalars(newest).one_or_none()
        if gone is not None and gone.deleted is not None:
            raise DeletedBasis(
                f"{gone.namespace}/{gone.name}@{gone.version} was deleted on "
                f"{gone.deleted:%Y-%m-%d %H:%M} UTC"
            )
    raise UnknownBasis(_what_there_is(session, reference, namespace))


def _named(reference: BasisReference) -> Select[VersionRow]:
    versions = select(VersionRow)
    if reference.digest is not None:
        return versions.where(VersionRow.digest == reference.digest)
    versions = versions.where(
        VersionRow.namespace == reference.namespace, VersionRow.name == reference.name
    )
    if reference.version is not None:
        versions = versions.where(VersionRow.version == reference.version)
    if reference.alias is not None:
        versions = versions.where(has_alias(reference.alias))
    return versions


def published(row: VersionRow) -> PublishedVersion:
    """A version, and the basis that it is."""
    return PublishedVersion(
        name=f"{row.namespace}/{row.name}", version=row.version, digest=row.digest
    )


def describe(session: Session, rows: Sequence[VersionRow]) -> list[BasisVersion]:
    """Versions with their manifests, and the aliases and tags that they bear, in their order."""
    keys = [_key(row) for row in rows]
    version = tuple_(AliasRow.namespace, AliasRow.name, AliasRow.version)
    tagged = tuple_(TagRow.namespace, TagRow.name, TagRow.version)
    aliases, words = defaultdict(list), defaultdict(list)
    for alias in session.scalars(
        select(AliasRow).where(version.in_(keys)).order_by(AliasRow.alias)
    ):
        aliases[_key(alias)].append(alias.alias)
    for tag in session.scalars(select(TagRow).where(tagged.in_(keys)).order_by(TagRow.tag)):
        words[_key(tag)].append(tag.tag)
    manifests = manifests_of(session, {row.digest for row in rows})
    return [
        BasisVersion(
            name=f"{row.namespace}/{row.name}",
            version=row.version,
            digest=row.digest,
            tags=tuple(words[_key(row)]),
            pinned=row.pinned,
            created=row.created,
            created_by=row.created_by,
            calibration=row.calibration_id,
            aliases=tuple(aliases[_key(row)]),
            manifest=manifests[row.digest],
        )
        for row in rows
    ]


def manifests_of(session: Session, digests: set[str]) -> dict[str, BasisManifest]:
    """The manifests of bases, by digest."""
    found = session.execute(
        select(BasisRow.digest, BasisRow.manifest).where(BasisRow.digest.in_(digests))
    )
    return {
        digest: BasisManifest.from_canonical_bytes(manifest.encode(), digest)
        for digest, manifest in found
    }


def visible(namespace: str) -> ColumnElement[bool]:
    """The condition that a version is one which the caller may see."""
    return namespaces.visible(VersionRow.namespace, namespace)


def live() -> ColumnElement[bool]:
    """The condition that a version was not deleted."""
    return VersionRow.deleted.is_(None)


def has_alias(alias: str) -> ColumnElement[bool]:
    """The condition that an alias names a version at present."""
    return (
        select(AliasRow.alias)
        .where(
            AliasRow.namespace == VersionRow.namespace,
            AliasRow.name == VersionRow.name,
            AliasRow.version == VersionRow.version,
            AliasRow.alias == alias,
        )
        .exists()
    )


def _key(row: VersionRow | AliasRow | TagRow) -> tuple[str, str, int]:
    return row.namespace, row.name, row.version


def no_such_name(name: str, near: Sequence[str] = ()) -> str:
    """What is said of a name that nothing which the caller may see is published as."""
    if near:
        return f"no basis is published as {name}; did you mean {' or '.join(near)}?"
    return (
        f"no basis is published as {name}; `sparsegrad-client bases list` shows those that this "
        "token may see"
    )


def _what_there_is(session: Session, reference: BasisReference, namespace: str) -> str:
    if reference.digest is not None:
        return f"no basis {reference.digest}"
    known = list(
        session.scalars(
            select(VersionRow.version)
            .where(
                visible(namespace),
                live(),
                VersionRow.namespace == reference.namespace,
                VersionRow.name == reference.name,
            )
            .order_by(VersionRow.version.desc())
            .limit(_NAMED)
        )
    )
    name = f"{reference.namespace}/{reference.name}"
    if not known:
        return no_such_name(name, nearest_names(session, name, namespace))
    aliases = session.scalars(
        select(AliasRow.alias)
        .where(AliasRow.namespace == reference.namespace, AliasRow.name == reference.name)
        .order_by(AliasRow.alias)
        .limit(_NAMED)
    )
    versions = ", ".join(f"@{version}" for version in known)
    named = ", ".join(f":{alias}" for alias in aliases) or "none"
    return f"no basis {reference}; {name} has versions {versions} and aliases {named}"
