"""``sparsegrad-client bases tag``, ``untag``, ``pin``, ``unpin`` and ``delete``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sparsegrad_shared.references import parse_segment
from sparsegrad_shared.terminal.questions import YesOption, confirm
from sparsegrad_shared.terminal.results import Result
from sparsegrad_shared.terminal.values import held_to

from .basis_options import ReferenceArgument, VersionArgument, parse_version
from .connecting import connect
from .options import ServerOption

if TYPE_CHECKING:
    from sparsegrad_shared.bases import VersionMarks

WordsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="TAG...",
        help="Words of letters, digits, '.', '_' and '-'.",
        callback=held_to(parse_segment),
    ),
]


def tag(reference: ReferenceArgument, words: WordsArgument, server: ServerOption = None) -> Result:
    """Put tags on a version, to find it by.

    Example:
        sparsegrad-client bases tag team/minilm-cola@3 english reviewed
    """
    with connect(server) as service:
        version = service.resolve(reference)
        marks = [service.tag(version.name, version.version, word) for word in words][-1]
    return _marked(marks)


def untag(
    reference: ReferenceArgument, words: WordsArgument, server: ServerOption = None
) -> Result:
    """Take tags off a version.

    Example:
        sparsegrad-client bases untag team/minilm-cola@3 reviewed
    """
    with connect(server) as service:
        version = service.resolve(reference)
        marks = [service.untag(version.name, version.version, word) for word in words][-1]
    return _marked(marks)


def pin(reference: ReferenceArgument, server: ServerOption = None) -> Result:
    """Have a version not be deleted by anyone, until it is unpinned.

    Example:
        sparsegrad-client bases pin team/minilm-cola@3
    """
    with connect(server) as service:
        version = service.resolve(reference)
        return _marked(service.pin(version.name, version.version))


def unpin(reference: ReferenceArgument, server: ServerOption = None) -> Result:
    """Let a version be deleted again.

    Example:
        sparsegrad-client bases unpin team/minilm-cola@3
    """
    with connect(server) as service:
        version = service.resolve(reference)
        return _marked(service.unpin(version.name, version.version))


def delete(version: VersionArgument, yes: YesOption = False, server: ServerOption = None) -> Result:
    """Delete a version for good; refused while an alias names it or it is pinned.

    Its number is never given out again. Adapters that were trained on it still need its basis: see
    that a copy is kept (`bases export`).

    Example:
        sparsegrad-client bases delete team/minilm-cola@2
    """
    name, number = parse_version(version)
    with connect(server) as service:
        found = service.version(name, number)
        confirm(f"Delete {found} ({found.digest}) for everyone?", yes=yes)
        service.delete_version(name, number)
    return Result(
        data={"deleted": str(found), "digest": found.digest},
        shown=[f"{found} is deleted"],
        brief=[],
    )


def _marked(marks: VersionMarks) -> Result:
    words = ", ".join(marks.tags) or "no tags"
    pinned = "; pinned" if marks.pinned else ""
    return Result(data=marks, shown=[f"{marks}: {words}{pinned}"], brief=[])
