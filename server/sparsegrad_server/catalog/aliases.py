"""Aliases: names that move from version to version, by compare-and-set, with their history."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from sparsegrad_shared.aliases import Alias, AliasChange, AliasList, AliasStatus
from sparsegrad_shared.errors import DeletedBasis, Forbidden, PreconditionFailed, UnknownBasis
from sparsegrad_shared.references import BasisReference

from . import bases, namespaces
from .tables import AliasChangeRow, AliasRow

DELETED = 0  # the version of a change that is the alias's end
_SHOWN = 1000  # changes of one alias


def every(session: Session, namespace: str, name: str) -> AliasList:
    """The aliases of a name.

    Raises:
        UnknownBasis: when nothing is published under that name.
    """
    bases.resolve(session, BasisReference(namespace, name), namespace)
    rows = session.scalars(
        select(AliasRow)
        .where(AliasRow.namespace == namespace, AliasRow.name == name)
        .order_by(AliasRow.alias)
    )
    return AliasList(
        aliases=tuple(
            Alias(
                name=f"{namespace}/{name}",
                alias=row.alias,
                version=row.version,
                protected=row.protected,
            )
            for row in rows
        )
    )


def status(session: Session, namespace: str, name: str, alias: str) -> AliasStatus:
    """What an alias names, and has named before, under earlier aliases of its name too.

    Raises:
        UnknownBasis: when there is no such alias; says which ones there are.
        DeletedBasis: when there was; says what it named.
    """
    row = session.get(AliasRow, (namespace, name, alias))
    changes = list(session.scalars(_changes(namespace, name, alias).limit(_SHOWN)))
    if row is None:
        raise _absent(session, BasisReference(namespace, name, alias=alias), changes)
    return AliasStatus(
        name=f"{namespace}/{name}",
        alias=alias,
        version=row.version,
        protected=row.protected,
        history=tuple(
            AliasChange(
                version=None if change.version == DELETED else change.version,
                changed=change.changed,
                by=change.changed_by,
            )
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
    admin: bool = False,
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
        admin: whether the caller may move one that is protected.

    Raises:
        UnknownBasis: when there is no such version; says which ones there are.
        PreconditionFailed: when it names another version than `expected`.
        Forbidden: when it is protected, and the caller no admin.
    """
    namespaces.hold(session, namespace)
    bases.resolve(session, BasisReference(namespace, name, version=version), namespace)
    row = session.get(AliasRow, (namespace, name, alias), populate_existing=True)
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
        _check_free(row, admin)
        row.version = version
    _note(session, namespace, name, alias, version=version, by=by, now=now)
    return status(session, namespace, name, alias)


def delete(
    session: Session,
    namespace: str,
    name: str,
    alias: str,
    *,
    expected: int,
    by: str,
    now: datetime,
    admin: bool = False,
) -> None:
    """Delete an alias, if it names `expected` now; its history stays, and goes on with a new one.

    Raises:
        UnknownBasis: when there is none.
        PreconditionFailed: when it names another version.
        Forbidden: when it is protected, and the caller no admin.
    """
    row = _held(session, namespace, name, alias)
    if row.version != expected:
        raise PreconditionFailed(
            f"{namespace}/{name}:{alias} names version {row.version}, not version {expected}: "
            "someone else moved it; look at it again, then decide"
        )
    _check_free(row, admin)
    session.delete(row)
    _note(session, namespace, name, alias, version=DELETED, by=by, now=now)


def protect(
    session: Session, namespace: str, name: str, alias: str, *, protected: bool
) -> AliasStatus:
    """Let only an admin's token move or delete an alias; or lift that.

    Raises:
        UnknownBasis: when there is none.
    """
    _held(session, namespace, name, alias).protected = protected
    session.flush()
    return status(session, namespace, name, alias)


def _held(session: Session, namespace: str, name: str, alias: str) -> AliasRow:
    """An alias that no other transaction changes until this one ends."""
    namespaces.hold(session, namespace)
    row = session.get(AliasRow, (namespace, name, alias), populate_existing=True)
    if row is None:
        changes = list(session.scalars(_changes(namespace, name, alias).limit(_SHOWN)))
        raise _absent(session, BasisReference(namespace, name, alias=alias), changes)
    return row


def _changes(namespace: str, name: str, alias: str) -> Select[AliasChangeRow]:
    return (
        select(AliasChangeRow)
        .where(
            AliasChangeRow.namespace == namespace,
            AliasChangeRow.name == name,
            AliasChangeRow.alias == alias,
        )
        .order_by(AliasChangeRow.changed.desc(), AliasChangeRow.id.desc())
    )


def _absent(
    session: Session, reference: BasisReference, changes: list[AliasChangeRow]
) -> UnknownBasis:
    if len(changes) > 1:
        end, before = changes[:2]
        return DeletedBasis(
            f"{reference} was deleted on {end.changed:%Y-%m-%d %H:%M} UTC by {end.changed_by}; it "
            f"named version {before.version}"
        )
    try:
        bases.resolve(session, reference, reference.namespace or "")
    except UnknownBasis as error:
        return error
    return UnknownBasis(f"no alias {reference}")


def _check_free(row: AliasRow, admin: bool) -> None:
    if row.protected and not admin:
        raise Forbidden(
            f"{row.namespace}/{row.name}:{row.alias} is protected: moving or deleting it needs a "
            "token with scope admin"
        )


def _note(
    session: Session,
    namespace: str,
    name: str,
    alias: str,
    *,
    version: int,
    by: str,
    now: datetime,
) -> None:
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


def _spoken(version: int | None) -> str:
    return "nothing yet" if version is None else f"version {version}"
