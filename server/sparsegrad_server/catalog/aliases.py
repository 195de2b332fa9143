"""Aliases: names that move from version to version, by compare-and-set, with their history."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from sparsegrad_shared.bases import AliasChange, AliasStatus
from sparsegrad_shared.errors import PreconditionFailed, UnknownBasis
from sparsegrad_shared.references import BasisReference

from . import bases
from .tables import AliasChangeRow, AliasRow


def status(session: Session, namespace: str, name: str, alias: str) -> AliasStatus:
    """What an alias names, and has named before.

    Raises:
        UnknownBasis: when there is no such alias; says which ones there are.
    """
    row = session.get(AliasRow, (namespace, name, alias))
    if row is None:
        reference = BasisReference(namespace, name, alias=alias)
        bases.resolve(session, reference, namespace)  # raises, and says what there is
        raise UnknownBasis(f"no alias {reference}")
    changes = session.scalars(
        select(AliasChangeRow)
        .where(
            AliasChangeRow.namespace == namespace,
            AliasChangeRow.name == name,
            AliasChangeRow.alias == alias,
        )
        .order_by(AliasChangeRow.changed.desc(), AliasChangeRow.id.desc())
    )
    return AliasStatus(
        name=f"{namespace}/{name}",
        alias=alias,
        version=row.version,
        history=tuple(
            AliasChange(version=change.version, changed=change.changed, by=change.changed_by)
            for change in changes
        ),
    )


def move(
    session: Session,
    namespace: str,
    name: str,
    alias: str,
    *,
    version: int,
    expected: int | None,
    by: str,
    now: datetime,
) -> AliasStatus:
    """Have an alias name `version`, if it names `expected` now (None: if it does not exist yet).

    Args:
        session: a writing transaction.
        namespace: of the basis.
        name: of the basis.
        alias: the alias to move.
        version: what it shall name.
        expected: what the caller believes that it names.
        by: the name of the caller's token, for the history.
        now: the time of the change.

    Raises:
        UnknownBasis: when there is no such version; says which ones there are.
        PreconditionFailed: when it names another version than `expected`.
    """
    target = BasisReference(namespace, name, version=version)
    bases.resolve(session, target, namespace)
    row = session.get(AliasRow, (namespace, name, alias))
    present = None if row is None else row.version
    if present != expected:
        raise PreconditionFailed(
            f"{namespace}/{name}:{alias} names {_spoken(present)}, not {_spoken(expected)}: "
            "someone else moved it; look at it again, then decide"
        )
    if row is None:
        session.add(
            AliasRow(namespace=namespace, name=name, alias=alias, version=version, protected=False)
        )
    else:
        row.version = version
    session.add(
        AliasChangeRow(
            id=f"{now:%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex}",
            namespace=namespace,
            name=name,
            alias=alias,
            version=version,
            changed=now,
            changed_by=by,
        )
    )
    session.flush()
    return status(session, namespace, name, alias)


def _spoken(version: int | None) -> str:
    return "nothing yet" if version is None else f"version {version}"
