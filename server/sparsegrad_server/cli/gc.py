"""``sparsegrad-server gc``: free what nothing names any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from sparsegrad_shared.terminal.amounts import size
from sparsegrad_shared.terminal.exits import DONE, FAILED
from sparsegrad_shared.terminal.progress import Phases
from sparsegrad_shared.terminal.questions import YesOption, confirm
from sparsegrad_shared.terminal.results import Result
from sparsegrad_shared.terminal.tables import Listing

from .check import GRACE_HOURS, LOOKING
from .options import Data, settings_from

if TYPE_CHECKING:
    from ..checkup.parts import Parts
    from ..checkup.spare import Age

FREEING = "freeing"
MOST_HOURS = 87600  # ten years


def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would go, with its bytes.")
    ] = False,
    grace: Annotated[
        float,
        typer.Option(
            min=0,
            max=MOST_HOURS,
            help="Hours for which what changed lately is left alone; 0 only while no server or "
            "worker runs. Damaged bases stay 28 times as long.",
        ),
    ] = GRACE_HOURS,
    yes: YesOption = False,
    data: Data = None,
) -> Result:
    """Free what no row, version or alias names: left-overs, expired gradients, deleted bases.

    Safe beside servers and workers. A kill at any moment leaves the rest for the next time. Asks
    first, with how much there is to free; in scripts, --yes answers.

    Examples: sparsegrad-server gc --data /srv/sparsegrad --dry-run

    sparsegrad-server gc --data /srv/sparsegrad --yes
    """
    from ..audit import record_command
    from ..checkup.gc import spare_things
    from ..checkup.parts import opened
    from ..checkup.spare import Age
    from ..store.objects import StorageUnreachable

    listed: list[tuple[int, str]] = []
    left_alone: list[str] = []
    stuck: list[str] = []
    with opened(settings_from(data=data)) as parts:
        age = Age(datetime.now(UTC), timedelta(hours=grace))
        if not (dry_run or yes):
            _ask(parts, age)
        with Phases() as phases:
            phases(LOOKING, 0, 0)
            for spare in spare_things(parts, age):
                try:
                    gone = dry_run or spare.free()
                except StorageUnreachable:
                    raise  # nothing else could be freed either
                except OSError as error:
                    stuck.append(f"{spare.what}: {error}")
                    continue
                if gone:
                    listed.append((spare.bytes, spare.what))
                    phases(LOOKING if dry_run else FREEING, len(listed), 0)
                else:
                    left_alone.append(spare.what)
        total = sum(bytes_ for bytes_, _ in listed)
        if listed and not dry_run:
            with parts.catalog.writing() as session:
                record_command(session, "gc", f"{len(listed)} things, {total} bytes", None)
    return Result(
        data={
            "dry_run": dry_run,
            "bytes": total,
            "things": [{"bytes": bytes_, "what": what} for bytes_, what in listed],
            "left_alone": left_alone,
            "stuck": stuck,
        },
        shown=[Listing(("bytes", "what"), listed)],
        notes=[
            *(f"left alone, it is in use again: {what}" for what in left_alone),
            *(f"could not be removed: {what}" for what in stuck),
            f"{'would free' if dry_run else 'freed'} {len(listed)} things, {size(total)}",
        ],
        exit_code=FAILED if stuck else DONE,
    )


def _ask(parts: Parts, age: Age) -> None:
    """Say how much there is, and go on only when somebody wants it."""
    from ..checkup.gc import spare_things

    with Phases() as phases:
        phases(LOOKING, 0, 0)
        sizes = [spare.bytes for spare in spare_things(parts, age)]
    if sizes:
        confirm(f"Free {len(sizes)} things, {size(sum(sizes))}, for good?", yes=False)
