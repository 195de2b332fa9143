"""Aliases: names for versions that move, by compare-and-set."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response

from sparsegrad_shared.aliases import AliasList, AliasStatus, AliasTarget
from sparsegrad_shared.errors import InvalidInput, PreconditionRequired
from sparsegrad_shared.references import Segment

from ..catalog import aliases
from .dependencies import Admin, CatalogOf, Writer
from .visibility import visible_name

router = APIRouter(
    tags=["aliases"],
    prefix="/bases/{namespace}/{name}/aliases",
    dependencies=[Depends(visible_name)],
)

IfMatch = Annotated[str | None, Header(description='the version it names now: "3"')]

_TAG = re.compile(r'"([1-9][0-9]{0,8})"')


@router.get("")
def list_aliases(namespace: Segment, name: Segment, catalog: CatalogOf) -> AliasList:
    """The aliases of a name."""
    with catalog.reading() as session:
        return aliases.every(session, namespace, name)


@router.get("/{alias}")
def get_alias(
    namespace: Segment, name: Segment, alias: Segment, response: Response, catalog: CatalogOf
) -> AliasStatus:
    """What an alias names, and has named; its ETag is what a change compares with."""
    with catalog.reading() as session:
        status = aliases.status(session, namespace, name, alias)
    response.headers["ETag"] = f'"{status.version}"'
    return status


@router.put("/{alias}")
def move_alias(
    namespace: Segment,
    name: Segment,
    alias: Segment,
    target: AliasTarget,
    response: Response,
    principal: Writer,
    catalog: CatalogOf,
    if_match: IfMatch = None,
    if_none_match: Annotated[str | None, Header(description="* for a new alias")] = None,
) -> AliasStatus:
    """Have an alias name another version, if it names the one that the caller believes it does.

    A protected alias is moved by an admin's token alone.
    """
    expected = _expected(if_match, if_none_match)
    with catalog.writing() as session:
        status = aliases.move(
            session,
            namespace,
            name,
            alias,
            version=target.version,
            expected=expected,
            by=principal.name,
            now=datetime.now(UTC),
            admin=principal.scope == "admin",
        )
    response.headers["ETag"] = f'"{status.version}"'
    return status


@router.delete("/{alias}", status_code=204)
def delete_alias(
    namespace: Segment,
    name: Segment,
    alias: Segment,
    principal: Writer,
    catalog: CatalogOf,
    if_match: IfMatch = None,
) -> None:
    """Delete an alias, if it names the version that the caller believes it does.

    Its history stays, and goes on when the alias is made again. A protected alias is deleted by
    an admin's token alone.
    """
    if if_match is None:
        raise PreconditionRequired('say what the alias names now: If-Match: "3"')
    with catalog.writing() as session:
        aliases.delete(
            session,
            namespace,
            name,
            alias,
            expected=_version(if_match),
            by=principal.name,
            now=datetime.now(UTC),
            admin=principal.scope == "admin",
        )


@router.put("/{alias}/protection")
def protect_alias(
    namespace: Segment, name: Segment, alias: Segment, principal: Admin, catalog: CatalogOf
) -> AliasStatus:
    """Have an alias moved and deleted by admins' tokens alone."""
    with catalog.writing() as session:
        return aliases.protect(session, namespace, name, alias, protected=True)


@router.delete("/{alias}/protection")
def unprotect_alias(
    namespace: Segment, name: Segment, alias: Segment, principal: Admin, catalog: CatalogOf
) -> AliasStatus:
    """Have an alias moved and deleted by whoever may write."""
    with catalog.writing() as session:
        return aliases.protect(session, namespace, name, alias, protected=False)


def _expected(if_match: str | None, if_none_match: str | None) -> int | None:
    """The version that the alias must name, None when it must not exist yet."""
    if if_match is None and if_none_match is None:
        raise PreconditionRequired(
            'say what the alias names now: If-Match: "3", or If-None-Match: * for a new one'
        )
    if if_none_match is not None:
        if if_match is not None or if_none_match.strip() != "*":
            raise InvalidInput("a new alias takes If-None-Match: * and no If-Match")
        return None
    return _version(if_match or "")


def _version(if_match: str) -> int:
    tag = _TAG.fullmatch(if_match.strip())
    if tag is None:
        raise InvalidInput(f'If-Match: expected one version, such as "3"; got {if_match!r}')
    return int(tag[1])
