"""``sparsegrad-server audit``: who changed what, or was refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from sparsegrad_shared.terminal.results import Result
from sparsegrad_shared.terminal.tables import Listing

from .catalog import opened
from .options import Data

COLUMNS = ("at", "token_name", "namespace", "action", "target", "status")
PAGE = 1000


def audit(
    since: Annotated[
        datetime | None, typer.Option(help="Not before this time, UTC; a day or a time of a day.")
    ] = None,
    until: Annotated[datetime | None, typer.Option(help="Before this time, UTC.")] = None,
    namespace: Annotated[str | None, typer.Option(help="What concerns this namespace.")] = None,
    token: Annotated[str | None, typer.Option(help="By this token: its name or id.")] = None,
    action: Annotated[
        str | None, typer.Option(help="How the action begins, such as 'PUT ' or 'token'.")
    ] = None,
    refused: Annotated[
        bool | None, typer.Option("--refused/--done", help="Only what was refused, or was done.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows at most.")] = PAGE,
    data: Data = None,
) -> Result:
    """Show the audit log, newest first.

    Example: sparsegrad-server audit --since 2026-01-01 --namespace team --json
    """
    from ..catalog.audit import AuditQuery, entries

    query = AuditQuery(namespace, token, action, _utc(since), _utc(until), refused)
    with opened(data) as catalog, catalog.reading() as session:
        found = list(entries(session, query, limit))
    rows = [[getattr(entry, name) for name in COLUMNS] for entry in found]
    return Result(data=found, shown=[Listing(COLUMNS, rows, empty="nothing was noted")])


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.replace(tzinfo=UTC)
