"""What the commands of ``bases`` take."""

from __future__ import annotations

from typing import Annotated

import typer

from sparsegrad_shared.errors import InvalidInput
from sparsegrad_shared.references import BasisReference

ReferenceArgument = Annotated[
    str,
    typer.Argument(metavar="BASIS", help="team/name, team/name@3, team/name:alias or sha256:…"),
]
VersionArgument = Annotated[
    str, typer.Argument(metavar="VERSION", help="A version, such as team/name@3.")
]
AliasArgument = Annotated[
    str, typer.Argument(metavar="ALIAS", help="An alias, such as team/name:prod.")
]


def parse_version(reference: str) -> tuple[str, int]:
    """Name and number of a version.

    Raises:
        InvalidInput: when it is another form of a reference.
    """
    parsed = BasisReference.parse(reference)
    if parsed.version is None:
        raise InvalidInput(f"expected a version such as team/name@3, got {reference}")
    return f"{parsed.namespace}/{parsed.name}", parsed.version


def parse_alias(reference: str) -> tuple[str, str]:
    """Name and alias of a reference by alias.

    Raises:
        InvalidInput: when it is another form of a reference.
    """
    parsed = BasisReference.parse(reference)
    if parsed.alias is None:
        raise InvalidInput(f"expected an alias such as team/name:prod, got {reference}")
    return f"{parsed.namespace}/{parsed.name}", parsed.alias
