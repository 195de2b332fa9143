"""Aliases: names for versions that move, by compare-and-set."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Response

from sparsegrad_shared.bases import AliasStatus, AliasTarget
from sparsegrad_shared.errors import InvalidInput, PreconditionFailed, UnknownBasis
from sparsegrad_shared.references import Segment

from ..auth.principal import Principal
from ..catalog import aliases
from .dependencies import CatalogOf, Reader, Writer

router = APIRouter(tags=["aliases"], prefix="/bases/{namespace}/{name}/aliases")

_TAG = re.compile(r'"([1-9][0-9]{0,8})"')


@router.get("/{alias}")
def get_alias(
    namespace: Segment,
    name: Segment,
    alias: Segment,
    response: Response,
    principal: Reader,
    catalog: CatalogOf,
) -> AliasStatus:
    """What an alias names, and has named; its ETag is what a change compares with."""
    _check_visible(principal, namespace, name)
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
    if_match: Annotated[str | None, Header(description='the version it names now: "3"')] = None,
    if_none_match: Annotated[str | None, Header(description="* for a new alias")] = None,
) -> AliasStatus:
    """Have an alias name another version, if it names the one that the caller believes it does."""
    _check_visible(principal, namespace, name)
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
        )
    response.headers["ETag"] = f'"{status.version}"'
    return status


def _check_visible(principal: Principal, namespace: str, name: str) -> None:
    if not principal.sees(namespace):
        raise UnknownBasis(f"no basis is published as {namespace}/{name}")


def _expected(if_match: str | None, if_none_match: str | None) -> int | None:
    """The version that the alias must name, None when it must not exist yet."""
    if if_match is None and if_none_match is None:
        raise PreconditionFailed(
            'say what the alias names now: If-Match: "3", or If-None-Match: * for a new one'
        )
    if if_none_match is not None:
        if if_match is not None or if_none_match.strip() != "*":
            raise InvalidInput("a new alias takes If-None-Match: * and no If-Match")
        return None
    tag = _TAG.fullmatch((if_match or "").strip())
    if tag is None:
        raise InvalidInput(f'If-Match: expected one version, such as "3"; got {if_match!r}')
    return int(tag[1])
