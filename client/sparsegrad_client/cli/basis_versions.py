"""``sparsegrad-client bases tag``, ``untag``, ``pin``, ``unpin`` and ``delete``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .basis_options import ReferenceArgument, VersionArgument, parse_version
from .options import ServerOption
from .show import say

if TYPE_CHECKING:
    from sparsegrad_shared.bases import VersionMarks

WordsArgument = Annotated[
    list[str], typer.Argument(metavar="TAG...", help="Words of letters, digits, '.', '_' and '-'.")
]


def tag(reference: ReferenceArgument, words: WordsArgument, server: ServerOption = None) -> None:
    """Put tags on a version, to find it by.

    Example:
        sparsegrad-client bases tag team/minilm-cola@3 english reviewed
    """
    from ..connection import open_service

    with open_service(server) as service:
        version = service.resolve(reference)
        marks = [service.tag(version.name, version.version, word) for word in words][-1]
    _say(marks)


def untag(reference: ReferenceArgument, words: WordsArgument, server: ServerOption = None) -> None:
    """Take tags off a version.

    Example:
        sparsegrad-client bases untag team/minilm-cola@3 reviewed
    """
    from ..connection import open_service

    with open_service(server) as service:
        version = service.resolve(reference)
        marks = [service.untag(version.name, version.version, word) for word in words][-1]
    _say(marks)


def pin(reference: ReferenceArgument, server: ServerOption = None) -> None:
    """Have a version not be deleted by anyone, until it is unpinned.

    Example:
        sparsegrad-client bases pin team/minilm-cola@3
    """
    from ..connection import open_service

    with open_service(server) as service:
        version = service.resolve(reference)
        _say(service.pin(version.name, version.version))


def unpin(reference: ReferenceArgument, server: ServerOption = None) -> None:
    """Let a version be deleted again.

    Example:
        sparsegrad-client bases unpin team/minilm-cola@3
    """
    from ..connection import open_service

    with open_service(server) as service:
        version = service.resolve(reference)
        _say(service.unpin(version.name, version.version))


def delete(
    version: VersionArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    server: ServerOption = None,
) -> None:
    """Delete a version for good; refused while an alias names it or it is pinned.

    Its number is never given out again. Adapters that were trained on it still need its basis: see
    that a copy is kept (`bases export`).

    Example:
        sparsegrad-client bases delete team/minilm-cola@2
    """
    from ..connection import open_service

    name, number = parse_version(version)
    with open_service(server) as service:
        found = service.version(name, number)
        if not yes:
            typer.confirm(f"Delete {found} ({found.digest}) for everyone?", abort=True)
        service.delete_version(name, number)
    say(f"{found} is deleted")


def _say(marks: VersionMarks) -> None:
    words = ", ".join(marks.tags) or "no tags"
    pinned = "; pinned" if marks.pinned else ""
    say(f"{marks}: {words}{pinned}")
