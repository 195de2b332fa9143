"""Bases and their versions, as the catalog knows them.

`namespace` is what the caller may see: one namespace, or `EVERY_NAMESPACE`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import Session

from sparsegrad_shared.bases import BasisManifest, BasisVersion
from sparsegrad_shared.errors import UnknownBasis
from sparsegrad_shared.references import BasisReference

from .tables import AliasRow, BasisGroupRow, BasisRow, CalibrationRow, VersionRow

EVERY_NAMESPACE = "*"
_NAMED = 10  # versions and aliases that a message lists


def publish(
    session: Session, manifest: BasisManifest, calibration: CalibrationRow, now: datetime
) -> VersionRow:
    """Name a basis whose files are in the store: the next version of the calibration's name.

    The same content under the same name is the version that it was before.
    """
    digest = manifest.digest()
    if session.get(BasisRow, digest) is None:
        _add(session, manifest, digest, now)
    under_name = (
        VersionRow.namespace == calibration.namespace,
        VersionRow.name == calibration.name,
    )
    same = session.scalars(select(VersionRow).where(*under_name, VersionRow.digest == digest))
    if (version := same.one_or_none()) is not None:
        return version
    latest = session.scalar(select(func.max(VersionRow.version)).where(*under_name))
    version = VersionRow(
        namespace=calibration.namespace,
        name=calibration.name,
        version=(latest or 0) + 1,
        digest=digest,
        calibration_id=calibration.id,
        created=now,
        created_by=calibration.created_by,
        pinned=False,
        deleted=None,
    )
    session.add(version)
    session.flush()
    return version


def _add(session: Session, manifest: BasisManifest, digest: str, now: datetime) -> None:
    session.add(
        BasisRow(
            digest=digest,
            manifest=manifest.canonical_bytes().decode(),
            model=manifest.model.id,
            dataset=manifest.dataset.id,
            created=now,
        )
    )
    session.flush()
    for group in manifest.groups:
        session.add(
            BasisGroupRow(digest=digest, name=group.name, d_out=group.d_out, d_in=group.d_in)
        )


def resolve(session: Session, reference: BasisReference, namespace: str) -> VersionRow:
    """The one version that a reference names; a digest, its newest.

    Raises:
        UnknownBasis: when there is none that the caller may see; says which ones there are.
    """
    versions = select(VersionRow).where(_visible(namespace))
    if reference.digest is not None:
        versions = versions.where(VersionRow.digest == reference.digest)
    else:
        versions = versions.where(
            VersionRow.namespace == reference.namespace, VersionRow.name == reference.name
        )
    if reference.version is not None:
        versions = versions.where(VersionRow.version == reference.version)
    if reference.alias is not None:
        versions = versions.join(
            AliasRow,
            (AliasRow.namespace == VersionRow.namespace)
            & (AliasRow.name == VersionRow.name)
            & (AliasRow.version == VersionRow.version),
        ).where(AliasRow.alias == reference.alias)
    newest = versions.order_by(VersionRow.created.desc(), VersionRow.version.desc()).limit(1)
    row = session.scalars(newest).one_or_none()
    if row is None:
        raise UnknownBasis(_what_there_is(session, reference, namespace))
    return row


def search(
    session: Session,
    namespace: str,
    *,
    name: str | None = None,
    model: str | None = None,
    digest: str | None = None,
    limit: int,
) -> list[BasisVersion]:
    """Versions that the caller may see, newest first: of a name, a model's id, a digest."""
    versions = (
        select(VersionRow)
        .join(BasisRow, BasisRow.digest == VersionRow.digest)
        .where(_visible(namespace))
        .order_by(VersionRow.created.desc(), VersionRow.name, VersionRow.version.desc())
    )
    if name is not None:
        versions = versions.where(VersionRow.namespace + "/" + VersionRow.name == name)
    if digest is not None:
        versions = versions.where(VersionRow.digest == digest)
    if model is not None:
        # The text may be anywhere in a manifest, so this only spares reading most of the others.
        versions = versions.where(BasisRow.manifest.contains(json.dumps(model), autoescape=True))
    found: Iterator[BasisVersion] = (
        describe(session, row) for row in session.scalars(versions.execution_options(yield_per=50))
    )
    return list(
        islice((basis for basis in found if model in (None, basis.manifest.model.id)), limit)
    )


def describe(session: Session, row: VersionRow) -> BasisVersion:
    """A version with its manifest and the aliases that name it."""
    aliases = session.scalars(
        select(AliasRow.alias)
        .where(
            AliasRow.namespace == row.namespace,
            AliasRow.name == row.name,
            AliasRow.version == row.version,
        )
        .order_by(AliasRow.alias)
    )
    manifest = session.get_one(BasisRow, row.digest).manifest
    return BasisVersion(
        name=f"{row.namespace}/{row.name}",
        version=row.version,
        digest=row.digest,
        created=row.created,
        calibration=row.calibration_id,
        aliases=tuple(aliases),
        manifest=BasisManifest.from_canonical_bytes(manifest.encode(), row.digest),
    )


def _visible(namespace: str) -> ColumnElement[bool]:
    return true() if namespace == EVERY_NAMESPACE else VersionRow.namespace == namespace


def _what_there_is(session: Session, reference: BasisReference, namespace: str) -> str:
    if reference.digest is not None:
        return f"no basis {reference.digest}"
    known = list(
        session.scalars(
            select(VersionRow.version)
            .where(
                _visible(namespace),
                VersionRow.namespace == reference.namespace,
                VersionRow.name == reference.name,
            )
            .order_by(VersionRow.version.desc())
            .limit(_NAMED)
        )
    )
    name = f"{reference.namespace}/{reference.name}"
    if not known:
        return f"no basis is published as {name}"
    aliases = session.scalars(
        select(AliasRow.alias)
        .where(AliasRow.namespace == reference.namespace, AliasRow.name == reference.name)
        .order_by(AliasRow.alias)
        .limit(_NAMED)
    )
    versions = ", ".join(f"@{version}" for version in known)
    named = ", ".join(f":{alias}" for alias in aliases) or "none"
    return f"no basis {reference}; {name} has versions {versions} and aliases {named}"
