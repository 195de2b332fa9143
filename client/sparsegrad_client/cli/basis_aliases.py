"""``sparsegrad-client bases alias …``, ``promote``, ``rollback`` and ``history``.

Each change is a compare-and-set against what the command has just read: when somebody else moves
the alias at the same moment, one of the two is told so, and nothing is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sparsegrad_shared.errors import InvalidInput, NotFound
from sparsegrad_shared.references import parse_segment
from sparsegrad_shared.terminal.commands import Commands
from sparsegrad_shared.terminal.questions import YesOption, confirm
from sparsegrad_shared.terminal.results import Result
from sparsegrad_shared.terminal.tables import Listing
from sparsegrad_shared.terminal.values import held_to

from .basis_options import (
    AliasArgument,
    NameArgument,
    ReferenceArgument,
    VersionArgument,
    parse_alias,
    parse_version,
)
from .connecting import connect
from .options import ServerOption

if TYPE_CHECKING:
    from sparsegrad_shared.aliases import AliasStatus

    from ..service import BasisService

app = Commands(
    name="alias",
    help="Names that move, such as prod.",
    epilog="Example: sparsegrad-client bases alias set team/minilm-cola@3 prod",
)

ExpectOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Only when it names this version at present; 0: only when it does not exist.",
        show_default=False,
    ),
]


@app.command("set")
def set_alias(
    reference: VersionArgument,
    alias: Annotated[
        str,
        typer.Argument(
            metavar="ALIAS", help="The alias, such as prod.", callback=held_to(parse_segment)
        ),
    ],
    expect: ExpectOption = None,
    yes: YesOption = False,
    server: ServerOption = None,
) -> Result:
    """Let an alias name a version; its history is kept.

    Example:
        sparsegrad-client bases alias set team/minilm-cola@3 prod
    """
    name, version = parse_version(reference)
    with connect(server) as service:
        found = _present(service, name, alias)
        present = _version(found) if expect is None else expect or None
        status = _move(service, found, name, alias, version, present, yes=yes)
    return _moved(status, present)


@app.command("list")
def list_aliases(
    name: NameArgument,
    server: ServerOption = None,
) -> Result:
    """List the aliases of a name.

    Example:
        sparsegrad-client bases alias list team/minilm-cola
    """
    with connect(server) as service:
        found = service.aliases(name).aliases
    rows = [
        (str(alias), f"@{alias.version}", "protected" if alias.protected else "") for alias in found
    ]
    return Result(
        data=found,
        shown=[Listing(("alias", "version", ""), rows, empty=f"{name} has no aliases")],
        brief=[str(alias) for alias in found],
    )


@app.command("delete")
def delete_alias(
    alias: AliasArgument, yes: YesOption = False, server: ServerOption = None
) -> Result:
    """Delete an alias; its history is kept, and goes on when it is made again.

    Example:
        sparsegrad-client bases alias delete team/minilm-cola:staging
    """
    name, short = parse_alias(alias)
    with connect(server) as service:
        present = service.alias(name, short).version
        confirm(f"Delete {alias}, which names version {present}?", yes=yes)
        service.delete_alias(name, short, expected=present)
    return Result(
        data={"deleted": alias, "version": present},
        shown=[f"{alias} is deleted (before: version {present})"],
        brief=[],
    )


@app.command()
def protect(alias: AliasArgument, server: ServerOption = None) -> Result:
    """Let only admins move or delete an alias; needs an admin's token.

    Example:
        sparsegrad-client bases alias protect team/minilm-cola:prod
    """
    with connect(server) as service:
        status = service.protect_alias(*parse_alias(alias))
    said = f"{alias} is protected: only an admin moves or deletes it"
    return Result(data=status, shown=[said], brief=[])


@app.command()
def unprotect(alias: AliasArgument, server: ServerOption = None) -> Result:
    """Let everyone who may write move and delete an alias; needs an admin's token.

    Example:
        sparsegrad-client bases alias unprotect team/minilm-cola:prod
    """
    with connect(server) as service:
        status = service.unprotect_alias(*parse_alias(alias))
    return Result(data=status, shown=[f"{alias} is not protected any more"], brief=[])


def promote(
    source: ReferenceArgument,
    alias: AliasArgument,
    yes: YesOption = False,
    server: ServerOption = None,
) -> Result:
    """Move an alias to what another one, or any reference, means at present.

    Example:
        sparsegrad-client bases promote team/minilm-cola:staging team/minilm-cola:prod
    """
    name, short = parse_alias(alias)
    with connect(server) as service:
        version = service.resolve(source)
        if version.name != name:
            raise InvalidInput(f"{source} is {version}; {alias} can only name versions of {name}")
        found = _present(service, name, short)
        present = _version(found)
        status = _move(service, found, name, short, version.version, present, yes=yes)
    return _moved(status, present)


def rollback(alias: AliasArgument, yes: YesOption = False, server: ServerOption = None) -> Result:
    """Move an alias back to the version that it named before.

    A second roll-back goes back another step: it does not undo the first.

    Example:
        sparsegrad-client bases rollback team/minilm-cola:prod
    """
    name, short = parse_alias(alias)
    with connect(server) as service:
        status = service.alias(name, short)
        before = status.version_before()
        if before is None:
            raise InvalidInput(
                f"{alias} has named nothing before version {status.version}; "
                "`bases history` shows what it named"
            )
        moved = _move(service, status, name, short, before, status.version, yes=yes)
    return _moved(moved, status.version)


def history(alias: AliasArgument, server: ServerOption = None) -> Result:
    """Show what an alias names, and has named before.

    Example:
        sparsegrad-client bases history team/minilm-cola:prod
    """
    with connect(server) as service:
        status = service.alias(*parse_alias(alias))
    rows = [
        (
            "deleted" if change.version is None else f"@{change.version}",
            f"{change.changed:%Y-%m-%d %H:%M}",
            change.by,
        )
        for change in status.history
    ]
    protected = ", protected" if status.protected else ""
    return Result(
        data=status,
        shown=[
            f"{status} is version {status.version}{protected}",
            Listing(("version", "since", "set by"), rows),
        ],
    )


def _present(service: BasisService, name: str, alias: str) -> AliasStatus | None:
    try:
        return service.alias(name, alias)
    except NotFound:
        return None


def _version(found: AliasStatus | None) -> int | None:
    return None if found is None else found.version


def _move(
    service: BasisService,
    found: AliasStatus | None,
    name: str,
    alias: str,
    version: int,
    expected: int | None,
    *,
    yes: bool,
) -> AliasStatus:
    """Let an alias name a version; one that is protected is not moved without a question."""
    if found is not None and found.protected and found.version != version:
        question = f"{found} is protected; move it from version {found.version} to {version}?"
        confirm(question, yes=yes)
    return service.set_alias(name, alias, version, expected=expected)


def _moved(status: AliasStatus, present: int | None) -> Result:
    before = "new" if present is None else f"before: version {present}"
    return Result(
        data=status,
        shown=[f"{status} is version {status.version} ({before})"],
        brief=[f"{status.name}@{status.version}"],
    )
