"""``sparsegrad-client quickstart``: every step on a real model, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsegrad_shared.terminal.progress import Phases
from sparsegrad_shared.terminal.results import Result
from sparsegrad_shared.terminal.tables import Table

from .options import SeedOption

if TYPE_CHECKING:
    from ..quickstart.run import Quickstart


def quickstart(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="New folder for the adapter; a folder under SPARSEGRAD_HOME unless said.",
            show_default=False,
        ),
    ] = None,
    seed: SeedOption = 0,
) -> Result:
    """Calibrate and fine-tune a real model on this machine, in a few minutes and offline.

    MiniLM-L6 learns to tell which part of Python's language reference a passage comes from. The
    model comes as a package, the text with Python, the server is started for the occasion.

    Example:
        sparsegrad-client quickstart
    """
    from .loading import work_offline

    work_offline()
    from ..home import home
    from ..quickstart.run import run
    from ..training.output import check_output

    folder = output or _new_folder(home() / "quickstart")
    check_output(folder)
    with Phases() as phases:
        done = run(folder, seed=seed, progress=phases)
    return _result(done, folder)


def _new_folder(parent: Path) -> Path:
    """The first of 1, 2, 3 and so on that is free."""
    number = 1
    while (parent / str(number)).exists():
        number += 1
    return parent / str(number)


def _result(done: Quickstart, folder: Path) -> Result:
    from ..report.quickstart import ENERGY_COLUMNS, TIME_COLUMNS, energy_rows, next_steps, time_rows
    from ..report.training import OUTCOME_COLUMNS, outcome_rows

    title = (
        f"MiniLM-L6 on {done.examples} passages of {done.classes} parts of Python's reference, "
        f"measured on {done.held_out} others (chance: {1 / done.classes:.3f})"
    )
    adapter = folder / "adapter"
    steps = [f"  {command}\n      {meaning}" for command, meaning in next_steps(done, folder)]
    return Result(
        data={
            "basis": str(done.basis),
            "digest": done.basis.digest,
            "report": done.report,
            "outcome": done.outcome,
            "adapter": adapter,
            "loaded_difference": done.loaded_difference,
            "seconds": done.seconds,
        },
        shown=[
            Table(OUTCOME_COLUMNS, outcome_rows(done.outcome, done.how.metric), title, 2),
            Table(ENERGY_COLUMNS, energy_rows(done), numbers=2),
            Table(TIME_COLUMNS, time_rows(done), numbers=1),
            f"basis    {done.basis} ({done.basis.digest})",
            f"adapter  {adapter}; in a fresh model its outputs differ by at most "
            f"{done.loaded_difference:.1e}",
            "next",
            *steps,
        ],
        brief=[str(done.basis), str(adapter)],
    )
