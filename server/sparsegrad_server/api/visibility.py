"""What a token sees of the bases: the rest is absent, not forbidden."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from pydantic import Field

from sparsegrad_shared.bases import BasisVersion
from sparsegrad_shared.errors import UnknownBasis
from sparsegrad_shared.references import MAX_VERSION, BasisReference, Segment

from ..auth.principal import Principal
from ..catalog import bases
from .dependencies import CatalogOf, Reader

Version = Annotated[int, Field(ge=1, le=MAX_VERSION)]


def visible_name(namespace: Segment, name: Segment, principal: Reader) -> None:
    """A dependency: the name in the path, held to be one that the token sees."""
    check_visible(namespace, name, principal)


def check_visible(namespace: str, name: str, principal: Principal) -> None:
    """Hold a name to be one that the token sees.

    Raises:
        UnknownBasis: when it is another namespace's.
    """
    if not principal.sees(namespace):
        raise UnknownBasis(bases.no_such_name(f"{namespace}/{name}"))


def _visible_version(
    namespace: Segment, name: Segment, version: Version, principal: Reader, catalog: CatalogOf
) -> BasisVersion:
    with catalog.reading() as session:
        reference = BasisReference(namespace, name, version)
        row = bases.resolve(session, reference, principal.namespace)
        return bases.describe(session, [row])[0]


VisibleVersion = Annotated[BasisVersion, Depends(_visible_version)]
