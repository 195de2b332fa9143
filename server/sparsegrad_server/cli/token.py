"""``sparsegrad-server token``: who may do what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from sparsegrad_shared.terminal.commands import Commands
from sparsegrad_shared.terminal.questions import YesOption, confirm
from sparsegrad_shared.terminal.results import Result
from sparsegrad_shared.terminal.tables import Listing
from sparsegrad_shared.tokens import MOST_DAYS, Scope

from .catalog import opened
from .options import Data

if TYPE_CHECKING:
    from ..catalog.tables import TokenRow

COLUMNS = ("id", "name", "namespace", "scope", "state", "last_used")

app = Commands(
    name="token",
    help="Make, list and revoke tokens.",
    epilog="Example: sparsegrad-server token create --namespace team --scope write",
)


@app.command()
def create(
    namespace: Annotated[str, typer.Option(help="The namespace that it is for; '*' is every one.")],
    scope: Annotated[Scope, typer.Option(help="Each holds the ones before it.")] = "read",
    name: Annotated[
        str | None, typer.Option(help="How lists and histories call its holder.")
    ] = None,
    days: Annotated[
        float | None,
        typer.Option(min=0, max=MOST_DAYS, help="Days until it expires; never, when not given."),
    ] = None,
    data: Data = None,
) -> Result:
    """Make a token and print it, alone, on standard output; it is shown this once.

    Example: sparsegrad-server token create --namespace team --scope write --name alice
    """
    from ..audit import record_command
    from ..auth import tokens

    now = datetime.now(UTC)
    expires = None if days is None else now + timedelta(days=days)
    with opened(data) as catalog, catalog.writing() as session:
        token = tokens.create(
            session, name or f"{namespace}-{scope}", namespace, scope, now, expires
        )
        record_command(session, "token create", f"{token.id} {scope} {token.name}", namespace)
    made = {
        "id": token.id,
        "name": token.name,
        "namespace": namespace,
        "scope": scope,
        "expires": expires,
        "token": token.secret,
    }
    return Result(data=made, shown=[token.secret])


@app.command("list")
def list_tokens(data: Data = None) -> Result:
    """List tokens: id, name, namespace, scope, state and last use; never the token itself.

    Example: sparsegrad-server token list --json
    """
    from ..auth import tokens

    now = datetime.now(UTC)
    with opened(data) as catalog, catalog.reading() as session:
        rows = tokens.every(session)
    found = [tokens.status(row).model_dump() | {"state": _state(row, now)} for row in rows]
    shown = [[token[name] for name in COLUMNS] for token in found]
    none = "no tokens yet; `sparsegrad-server token create` makes one"
    return Result(
        data=found,
        shown=[Listing(COLUMNS, shown, empty=none)],
        brief=[str(token["id"]) for token in found],
    )


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `token list` shows it.")],
    yes: YesOption = False,
    data: Data = None,
) -> Result:
    """Revoke a token: from now on it is answered 401.

    Example: sparsegrad-server token revoke tok-0123456789abcdef
    """
    from ..audit import record_command
    from ..auth import tokens

    with opened(data) as catalog:
        with catalog.reading() as session:
            known = tokens.get(session, token_id)
        # Nobody waits for an answer while others wait for the catalog.
        confirm(f"Revoke {known.id} ({known.name}, {known.scope}) for good?", yes=yes)
        with catalog.writing() as session:
            row = tokens.revoke(session, token_id, datetime.now(UTC))
            what = f"{row.id} {row.scope} {row.name}"
            record_command(session, "token revoke", what, row.namespace)
    return Result(
        data={"revoked": known.id, "name": known.name},
        shown=[f"{known.id} ({known.name}) is revoked"],
        brief=[],
    )


def _state(row: TokenRow, now: datetime) -> str:
    if row.revoked is not None:
        return "revoked"
    if row.expires is None:
        return "valid"
    return f"{'expired' if row.expires <= now else 'valid until'} {row.expires:%Y-%m-%d}"
