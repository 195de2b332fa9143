"""What the commands of ``bases`` take."""

from __future__ import annotations

from typing import Annotated

import typer

from sparsegrad_shared.errors import InvalidInput, InvalidReference
from sparsegrad_shared.references import BasisReference, parse_name
from sparsegrad_shared.terminal.values import held_to

from . import completion


def parse_version(reference: str) -> tuple[str, int]:
    """Name and number of a version.

    Raises:
        InvalidInput: when it is another form of a reference.
    """
    parsed = _read(reference)
    if parsed is None or parsed.version is None:
        raise InvalidInput(f"expected a version such as team/name@3, got {reference!r}")
    return f"{parsed.namespace}/{parsed.name}", parsed.version


def parse_alias(reference: str) -> tuple[str, str]:
    """Name and alias of a reference by alias.

    Raises:
        InvalidInput: when it is another form of a reference.
    """
    parsed = _read(reference)
    if parsed is None or parsed.alias is None:
        raise InvalidInput(f"expected an alias such as team/name:prod, got {reference!r}")
    return f"{parsed.namespace}/{parsed.name}", parsed.alias


def _read(reference: str) -> BasisReference | None:
    try:
        return BasisReference.parse(reference)
    except InvalidReference:
        return None


REFERENCE_FORMS = "A basis: team/name, team/name@3, team/name:alias or sha256:<digest>."

ReferenceArgument = Annotated[
    str,
    typer.Argument(
        metavar="BASIS",
        help=REFERENCE_FORMS,
        callback=held_to(BasisReference.parse),
        autocompletion=completion.references,
    ),
]
VersionArgument = Annotated[
    str,
    typer.Argument(
        metavar="VERSION",
        help="A version, such as team/name@3.",
        callback=held_to(parse_version),
        autocompletion=completion.versions,
    ),
]
AliasArgument = Annotated[
    str,
    typer.Argument(
        metavar="ALIAS",
        help="An alias, such as team/name:prod.",
        callback=held_to(parse_alias),
        autocompletion=completion.aliases,
    ),
]
NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A name without a version, team/name.",
        callback=held_to(parse_name),
        autocompletion=completion.names,
    ),
]
