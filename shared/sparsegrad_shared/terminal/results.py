"""What a command found or did, and how it is printed: the one place that writes standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from . import mode
from .exits import DONE
from .tables import Listing, Table

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_WIDTH = 200  # columns when standard output is no terminal, so that nothing is cut off


@dataclass(frozen=True)
class Result:
    """What a command found or did.

    Attributes:
        data: for ``--json``; anything that pydantic can write.
        shown: for people: lines, printed as they are, and tables.
        brief: for ``--quiet``: lines, such as the name of what was made; `shown` when None.
        notes: for people, on standard error after the rest: sums, hints.
        exit_code: how the process ends.
    """

    data: object
    shown: Sequence[str | Table | Listing]
    brief: Sequence[str] | None = None
    notes: Sequence[str] = ()
    exit_code: int = DONE


def show(result: Result) -> None:
    """Print a result in the process's mode."""
    present = mode.current()
    if present.json:
        sys.stdout.write(as_json(result.data) + "\n")
    else:
        console = _console()
        brief = result.brief if present.quiet else None
        for part in result.shown if brief is None else brief:
            if isinstance(part, str):
                console.print(part, markup=False, soft_wrap=True)
            else:
                part.show(console)
    sys.stdout.flush()
    if not (present.quiet or present.json):
        for note in result.notes:
            typer.echo(note, err=True)


def as_json(data: object) -> str:
    """A value as an indented JSON document; numbers that JSON does not know are null."""
    from pydantic_core import to_json

    return to_json(data, indent=2, inf_nan_mode="null").decode()


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)
