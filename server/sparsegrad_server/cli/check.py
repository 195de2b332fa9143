"""``sparsegrad-server check``: is everything there, and is it what it was?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sparsegrad_shared.progress import InBytes
from sparsegrad_shared.terminal.amounts import size
from sparsegrad_shared.terminal.exits import DONE, FOUND_DAMAGE
from sparsegrad_shared.terminal.progress import Phases
from sparsegrad_shared.terminal.results import Result

from .options import Data, settings_from

if TYPE_CHECKING:
    from ..checkup.findings import Finding, Notes
    from ..checkup.parts import Parts

CHECKING = InBytes("checking")
LOOKING = "looking for what nothing names"
GRACE_HOURS = 6.0  # what is younger may still be on its way: an upload, a job


def check(data: Data = None) -> Result:
    """Verify every digest and every reference, and say what is wrong; change nothing.

    Prints a line for each thing that is wrong, with what to do next, and ends with exit code 3 if
    there is any. The server may go on meanwhile.

    Example: sparsegrad-server check --data /srv/sparsegrad
    """
    from ..checkup.check import bytes_to_read
    from ..checkup.check import check as look
    from ..checkup.findings import Notes
    from ..checkup.parts import opened

    found: list[Finding] = []
    with opened(settings_from(data=data)) as parts, Phases() as phases:
        total, done = bytes_to_read(parts), 0

        def read(size: int) -> None:
            nonlocal done
            done += size
            phases(CHECKING, min(done, total), total)

        notes = Notes(found.append, read)
        look(parts, notes)
        phases(LOOKING, 0, 0)
        spare = _spare(parts)
    return Result(
        data={
            "findings": [asdict(finding) for finding in found],
            "looked_at": notes.looked_at,
            "spare": spare,
        },
        shown=[str(finding) for finding in found],
        notes=_summary(notes, spare),
        exit_code=FOUND_DAMAGE if found else DONE,
    )


def _spare(parts: Parts) -> dict[str, int]:
    from datetime import UTC, datetime, timedelta

    from ..checkup.gc import spare_things
    from ..checkup.spare import Age

    sizes = [
        thing.bytes
        for thing in spare_things(parts, Age(datetime.now(UTC), timedelta(hours=GRACE_HOURS)))
    ]
    return {"things": len(sizes), "bytes": sum(sizes)}


def _summary(notes: Notes, spare: dict[str, int]) -> list[str]:
    looked = ", ".join(f"{count} {kind}" for kind, count in sorted(notes.looked_at.items()))
    free = f"`sparsegrad-server gc` would free {spare['things']} things, {size(spare['bytes'])}"
    return [
        f"looked at {looked}",
        *([free] if spare["things"] else []),
        f"wrong: {notes.findings}" if notes.findings else "all is well",
    ]
