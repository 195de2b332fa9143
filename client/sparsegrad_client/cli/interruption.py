"""Ctrl-C in the middle of something that can be gone on with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

INTERRUPTED = 130  # what shells use for SIGINT


@contextmanager
def resumable() -> Iterator[None]:
    """Print the notes that an interruption carries: they say how to go on."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        for note in getattr(interruption, "__notes__", ()):
            typer.echo(f"interrupted. {note}", err=True)
        raise typer.Exit(INTERRUPTED) from interruption
