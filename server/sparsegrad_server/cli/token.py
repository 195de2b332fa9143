"""``sparsegrad-server token``: who may do what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .options import Data, settings_from

if TYPE_CHECKING:
    from pathlib import Path

    from ..catalog import Catalog
    from ..catalog.tables import TokenRow

app = typer.Typer(
    help="Make, list and revoke tokens.",
    no_args_is_help=True,
    epilog="Example: sparsegrad-server token create --namespace team --scope write",
)


@app.command()
def create(
    namespace: Annotated[str, typer.Option(help="The namespace that it is for; '*' is every one.")],
    scope: Annotated[
        Literal["read", "write", "admin"], typer.Option(help="Each holds the ones before it.")
    ] = "read",
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
    from ..auth import tokens

    now = datetime.now(UTC)
    expires = None if days is None else now + timedelta(days=days)
    with _catalog(data) as catalog, catalog.writing() as session:
        token = tokens.create(
            session, name or f"{namespace}-{scope}", namespace, scope, now, expires
        )
    typer.echo(token.secret)


@app.command("list")
def list_tokens(data: Data = None) -> None:
    """List tokens: id, name, namespace, scope and state; never the token itself."""
    from ..auth import tokens

    now = datetime.now(UTC)
    with _catalog(data) as catalog, catalog.reading() as session:
        for row in tokens.every(session):
            typer.echo("\t".join((row.id, row.name, row.namespace, row.scope, _state(row, now))))


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `token list` shows it.")],
    data: Data = None,
) -> None:
    """Revoke a token: from now on it is answered 401.

    Example: sparsegrad-server token revoke tok-0123456789abcdef
    """
    from ..auth import tokens

    with _catalog(data) as catalog, catalog.writing() as session:
        tokens.revoke(session, token_id, datetime.now(UTC))


def _state(row: TokenRow, now: datetime) -> str:
    if row.revoked is not None:
        return "revoked"
    if row.expires is None:
        return "valid"
    return f"{'expired' if row.expires <= now else 'valid until'} {row.expires:%Y-%m-%d}"


@contextmanager
def _catalog(data: Path | None) -> Iterator[Catalog]:
    from ..catalog import Catalog
    from ..store.files import make_folder

    settings = settings_from(data=data)
    make_folder(settings.data)
    catalog = Catalog(settings.catalog_address)
    try:
        catalog.migrate()
        yield catalog
    finally:
        catalog.close()
