"""``sparsegrad-server token``: who may do what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from sparsegrad_shared.tokens import Scope

from .catalog import opened
from .options import Data
from .table import AsJson, show

if TYPE_CHECKING:
    from ..catalog.tables import TokenRow

COLUMNS = ("id", "name", "namespace", "scope", "state", "last_used")

app = typer.Typer(
    help="Make, list and revoke tokens.",
    no_args_is_help=True,
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
        float | None, typer.Option(min=0, help="Days until it expires; never, when not given.")
    ] = None,
    data: Data = None,
) -> None:
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
    typer.echo(token.secret)


@app.command("list")
def list_tokens(as_json: AsJson = False, data: Data = None) -> None:
    """List tokens: id, name, namespace, scope, state and last use; never the token itself.

    Example: sparsegrad-server token list --json
    """
    from ..auth import tokens

    now = datetime.now(UTC)
    with opened(data) as catalog, catalog.reading() as session:
        rows = tokens.every(session)
    shown = [tokens.status(row).model_dump() | {"state": _state(row, now)} for row in rows]
    show(COLUMNS, shown, as_json=as_json)


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `token list` shows it.")],
    data: Data = None,
) -> None:
    """Revoke a token: from now on it is answered 401.

    Example: sparsegrad-server token revoke tok-0123456789abcdef
    """
    from ..audit import record_command
    from ..auth import tokens

    with opened(data) as catalog, catalog.writing() as session:
        row = tokens.revoke(session, token_id, datetime.now(UTC))
        record_command(session, "token revoke", f"{row.id} {row.scope} {row.name}", row.namespace)


def _state(row: TokenRow, now: datetime) -> str:
    if row.revoked is not None:
        return "revoked"
    if row.expires is None:
        return "valid"
    return f"{'expired' if row.expires <= now else 'valid until'} {row.expires:%Y-%m-%d}"
