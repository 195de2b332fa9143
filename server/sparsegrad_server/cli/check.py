"""``sparsegrad-server check``: is everything there, and is it what it was?"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Data, settings_from

if TYPE_CHECKING:
    from ..checkup.findings import Finding, Notes
    from ..checkup.parts import Parts

GRACE_HOURS = 6.0  # what is younger may still be on its way: an upload, a job


def check(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output.")
    ] = False,
    data: Data = None,
) -> None:
    """Verify every digest and every reference, and say what is wrong; change nothing.

    Prints a line for each thing that is wrong, with what to do next. The server may go on
    meanwhile. Exit codes: 0, all is well; 1, something is wrong.

    Example: sparsegrad-server check --data /srv/sparsegrad
    """
    from ..checkup.check import bytes_to_read
    from ..checkup.check import check as look
    from ..checkup.findings import Notes
    from ..checkup.parts import opened

    found: list[Finding] = []
    with opened(settings_from(data=data)) as parts, _progress(parts, bytes_to_read) as read:

        def tell(finding: Finding) -> None:
            found.append(finding)
            if not as_json:
                typer.echo(str(finding))

        notes = Notes(tell, read)
        look(parts, notes)
        spare = _spare(parts)
    if as_json:
        findings = [asdict(finding) for finding in found]
        typer.echo(json.dumps({"findings": findings, "looked_at": notes.looked_at, "spare": spare}))
    else:
        _summarize(notes, spare)
    raise typer.Exit(int(bool(found)))


def _spare(parts: Parts) -> dict[str, int]:
    from datetime import UTC, datetime, timedelta

    from ..checkup.gc import spare_things
    from ..checkup.spare import Age

    sizes = [
        thing.bytes
        for thing in spare_things(parts, Age(datetime.now(UTC), timedelta(hours=GRACE_HOURS)))
    ]
    return {"things": len(sizes), "bytes": sum(sizes)}


def _summarize(notes: Notes, spare: dict[str, int]) -> None:
    looked = ", ".join(f"{count} {kind}" for kind, count in sorted(notes.looked_at.items()))
    typer.echo(f"looked at {looked}", err=True)
    if spare["things"]:
        typer.echo(
            f"`sparsegrad-server gc` would free {spare['things']} things, {spare['bytes']} bytes",
            err=True,
        )
    typer.echo(f"wrong: {notes.findings}" if notes.findings else "all is well", err=True)


@contextmanager
def _progress(
    parts: Parts, bytes_to_read: Callable[[Parts], int]
) -> Iterator[Callable[[int], None]]:
    """How far the check is, on a terminal: bytes, rate and time left."""
    if not sys.stderr.isatty():
        yield lambda size: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("check", total=bytes_to_read(parts))
        yield lambda size: progress.advance(task, size)
