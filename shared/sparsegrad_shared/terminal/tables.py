"""What a result shows besides lines of text."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Row = Sequence[object]


@dataclass(frozen=True)
class Table:
    """Figures: a table with its head, on a terminal and elsewhere.

    Attributes:
        columns: their names.
        rows: a value for each column.
        title: a line above it.
        numbers: how many of the last columns are flush right.
    """

    columns: Sequence[str]
    rows: Sequence[Row]
    title: str | None = None
    numbers: int = 0

    def show(self, console: Console) -> None:
        """Print it."""
        from rich import box

        console.print(_aligned(self, box.HEAVY_HEAD))


@dataclass(frozen=True)
class Listing:
    """Things, one a line: aligned on a terminal, tab-separated and without a head elsewhere.

    Attributes:
        columns: their names.
        rows: a value for each column.
        empty: what to say on standard error when there is nothing to list.
    """

    columns: Sequence[str]
    rows: Sequence[Row]
    empty: str = ""

    def show(self, console: Console) -> None:
        """Print it."""
        if not self.rows and self.empty:
            sys.stderr.write(f"{self.empty}\n")
        elif console.is_terminal:
            console.print(_aligned(Table(self.columns, self.rows), None))
        else:
            for row in self.rows:
                console.file.write("\t".join(map(cell, row)) + "\n")


def cell(value: object) -> str:
    """A value in a cell, without what would move the cursor or begin another cell."""
    if value is None:
        return "-"
    shown = f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value)
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


def _aligned(table: Table, lines: object) -> RenderableType:
    from rich.box import Box
    from rich.table import Table as Drawn

    drawn = Drawn(
        title=table.title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=lines if isinstance(lines, Box) else None,
        pad_edge=isinstance(lines, Box),
    )
    for position, name in enumerate(table.columns):
        right = position >= len(table.columns) - table.numbers
        drawn.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*_texts(row))
    return drawn


def _texts(row: Row) -> Iterator[RenderableType]:
    from rich.text import Text

    return (Text(cell(value)) for value in row)  # what people wrote is no markup
