"""Printing on standard output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

_PLAIN_WIDTH = 200  # columns when standard output is no terminal, so that nothing is cut off


def output() -> Console:
    """The console of standard output."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def say(text: str) -> None:
    """A line on standard output, as it is: neither cut nor taken for markup."""
    output().print(text, markup=False, soft_wrap=True)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str | None = None,
    numbers: int = 0,
) -> Table:
    """A table; the last `numbers` columns are flush right."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for position, name in enumerate(columns):
        right = position >= len(columns) - numbers
        made.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made
