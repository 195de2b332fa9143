"""``sparsegrad-server gc``: free what nothing names any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from .check import GRACE_HOURS
from .options import Data, settings_from


def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would go, with its bytes.")
    ] = False,
    grace: Annotated[
        float,
        typer.Option(
            min=0,
            help="Hours for which what changed lately is left alone; 0 only while no server or "
            "worker runs. Damaged bases stay 28 times as long.",
        ),
    ] = GRACE_HOURS,
    data: Data = None,
) -> None:
    """Free what no row, version or alias names: left-overs, expired gradients, deleted bases.

    Safe beside servers and workers. A kill at any moment leaves the rest for the next time.

    Example: sparsegrad-server gc --data /srv/sparsegrad --dry-run
    """
    from ..audit import record_command
    from ..checkup.gc import spare_things
    from ..checkup.parts import opened
    from ..checkup.spare import Age

    things = size = 0
    with opened(settings_from(data=data)) as parts:
        for spare in spare_things(parts, Age(datetime.now(UTC), timedelta(hours=grace))):
            if dry_run or spare.free():
                things += 1
                size += spare.bytes
                typer.echo(f"{spare.bytes}\t{spare.what}")
            else:
                typer.echo(f"left alone, it is in use again: {spare.what}", err=True)
        if things and not dry_run:
            with parts.catalog.writing() as session:
                record_command(session, "gc", f"{things} things, {size} bytes", None)
    typer.echo(f"{'would free' if dry_run else 'freed'} {things} things, {size} bytes", err=True)
