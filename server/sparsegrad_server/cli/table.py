"""Lists, for whoever reads them: aligned on a terminal, tab-separated in a pipe, or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


def show(columns: tuple[str, ...], rows: Iterable[Mapping[str, object]], *, as_json: bool) -> None:
    """Print rows on standard output.

    Args:
        columns: what is shown of a row, in this order; JSON has all of it.
        rows: values by name; times with their zone.
        as_json: one object a line.
    """
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row, default=_plain))
    elif sys.stdout.isatty():
        _show_table(columns, rows)
    else:
        for row in rows:
            typer.echo("\t".join(_text(row[name]) for name in columns))


def _show_table(columns: tuple[str, ...], rows: Iterable[Mapping[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*(name.replace("_", " ") for name in columns), box=None, pad_edge=False)
    for row in rows:
        # Text, since what people wrote is no markup.
        table.add_row(*(Text(_text(row[name])) for name in columns))
    Console().print(table)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _text(value: object) -> str:
    """A value in a cell; without what would move the cursor or begin another cell."""
    if value is None:
        return "-"
    shown = f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value)
    return "".join(letter if letter.isprintable() else "?" for letter in shown)
