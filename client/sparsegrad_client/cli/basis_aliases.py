"""``sparsegrad-client bases alias …``, ``promote``, ``rollback`` and ``history``.

Each change is a compare-and-set against what the command has just read: when somebody else moves
the alias at the same moment, one of the two is told so, and nothing is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sparsegrad_shared.errors import InvalidInput, NotFound
from sparsegrad_shared.references import BasisReference, parse_name

from .basis_options import (
    AliasArgument,
    JsonOption,
    ReferenceArgument,
    parse_alias,
    print_json,
)
from .options import ServerOption
from .show import output, say, table

if TYPE_CHECKING:
    from sparsegrad_shared.aliases import AliasStatus

    from ..service import BasisService

app = typer.Typer(
    help="Names that move, such as prod.",
    no_args_is_help=True,
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
    reference: Annotated[
        str, typer.Argument(metavar="VERSION", help="What it shall name, such as team/name@3.")
    ],
    alias: Annotated[str, typer.Argument(help="The alias, such as prod.")],
    expect: ExpectOption = None,
    server: ServerOption = None,
) -> None:
    """Let an alias name a version; its history is kept.

    Example:
        sparsegrad-client bases alias set team/minilm-cola@3 prod
    """
    from ..connection import open_service

    parsed = BasisReference.parse(reference)
    if parsed.version is None:
        raise InvalidInput(f"an alias names a version: expected team/name@3, got {reference}")
    name = f"{parsed.namespace}/{parsed.name}"
    with open_service(server) as service:
        present = _present(service, name, alias) if expect is None else expect or None
        status = service.set_alias(name, alias, parsed.version, expected=present)
    _say_moved(status, present)


@app.command("list")
def list_aliases(
    name: Annotated[str, typer.Argument(help="The basis's name, team/name.")],
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """List the aliases of a name.

    Example:
        sparsegrad-client bases alias list team/minilm-cola
    """
    from ..connection import open_service

    parse_name(name)
    with open_service(server) as service:
        found = service.aliases(name).aliases
    if as_json:
        print_json([alias.model_dump(mode="json") for alias in found])
        return
    rows = [
        (str(alias), f"@{alias.version}", "protected" if alias.protected else "") for alias in found
    ]
    output().print(table(("alias", "version", ""), rows) if rows else f"{name} has no aliases")


@app.command("delete")
def delete_alias(alias: AliasArgument, server: ServerOption = None) -> None:
    """Delete an alias; its history is kept, and goes on when it is made again.

    Example:
        sparsegrad-client bases alias delete team/minilm-cola:staging
    """
    from ..connection import open_service

    name, short = parse_alias(alias)
    with open_service(server) as service:
        present = service.alias(name, short).version
        service.delete_alias(name, short, expected=present)
    say(f"{alias} is deleted (before: version {present})")


@app.command()
def protect(alias: AliasArgument, server: ServerOption = None) -> None:
    """Let only admins move or delete an alias; needs an admin's token.

    Example:
        sparsegrad-client bases alias protect team/minilm-cola:prod
    """
    from ..connection import open_service

    with open_service(server) as service:
        service.protect_alias(*parse_alias(alias))
    say(f"{alias} is protected: only an admin moves or deletes it")


@app.command()
def unprotect(alias: AliasArgument, server: ServerOption = None) -> None:
    """Let everyone who may write move and delete an alias; needs an admin's token.

    Example:
        sparsegrad-client bases alias unprotect team/minilm-cola:prod
    """
    from ..connection import open_service

    with open_service(server) as service:
        service.unprotect_alias(*parse_alias(alias))
    say(f"{alias} is not protected any more")


def promote(
    source: ReferenceArgument,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="What to move: team/name:prod.")],
    server: ServerOption = None,
) -> None:
    """Move an alias to what another one, or any reference, means at present.

    Example:
        sparsegrad-client bases promote team/minilm-cola:staging team/minilm-cola:prod
    """
    from ..connection import open_service

    name, short = parse_alias(alias)
    with open_service(server) as service:
        version = service.resolve(source)
        if version.name != name:
            raise InvalidInput(f"{source} is {version}; {alias} can only name versions of {name}")
        present = _present(service, name, short)
        status = service.set_alias(name, short, version.version, expected=present)
    _say_moved(status, present)


def rollback(alias: AliasArgument, server: ServerOption = None) -> None:
    """Move an alias back to the version that it named before.

    A second roll-back goes back another step: it does not undo the first.

    Example:
        sparsegrad-client bases rollback team/minilm-cola:prod
    """
    from ..connection import open_service

    name, short = parse_alias(alias)
    with open_service(server) as service:
        status = service.alias(name, short)
        before = status.version_before()
        if before is None:
            raise InvalidInput(
                f"{alias} has named nothing before version {status.version}; "
                "`bases history` shows what it named"
            )
        moved = service.set_alias(name, short, before, expected=status.version)
    _say_moved(moved, status.version)


def history(alias: AliasArgument, as_json: JsonOption = False, server: ServerOption = None) -> None:
    """Show what an alias names, and has named before.

    Example:
        sparsegrad-client bases history team/minilm-cola:prod
    """
    from ..connection import open_service

    with open_service(server) as service:
        status = service.alias(*parse_alias(alias))
    if as_json:
        print_json(status.model_dump(mode="json"))
        return
    rows = [
        (
            "deleted" if change.version is None else f"@{change.version}",
            f"{change.changed:%Y-%m-%d %H:%M}",
            change.by,
        )
        for change in status.history
    ]
    protected = ", protected" if status.protected else ""
    say(f"{status} is version {status.version}{protected}")
    output().print(table(("version", "since", "set by"), rows))


def _present(service: BasisService, name: str, alias: str) -> int | None:
    try:
        return service.alias(name, alias).version
    except NotFound:
        return None


def _say_moved(status: AliasStatus, present: int | None) -> None:
    before = "new" if present is None else f"before: version {present}"
    say(f"{status} is version {status.version} ({before})")
