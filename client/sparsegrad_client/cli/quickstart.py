"""``sparsegrad-client quickstart``: every step on a real model, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import SeedOption
from .progress import Phases
from .show import output as standard_output
from .show import table

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
) -> None:
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
    from ..training.fine_tuning import check_output

    folder = output or _new_folder(home() / "quickstart")
    check_output(folder)
    with Phases() as phases:
        done = run(folder, seed=seed, progress=phases)
    _print(done, folder)


def _new_folder(parent: Path) -> Path:
    """The first of 1, 2, 3 and so on that is free."""
    number = 1
    while (parent / str(number)).exists():
        number += 1
    return parent / str(number)


def _print(done: Quickstart, folder: Path) -> None:
    from ..report.quickstart import ENERGY_COLUMNS, TIME_COLUMNS, energy_rows, next_steps, time_rows
    from ..report.training import OUTCOME_COLUMNS, outcome_rows

    console = standard_output()
    title = (
        f"MiniLM-L6 on {done.examples} passages of {done.classes} parts of Python's reference, "
        f"measured on {done.held_out} others (chance: {1 / done.classes:.3f})"
    )
    rows = outcome_rows(done.outcome, done.how.metric)
    console.print(table(OUTCOME_COLUMNS, rows, title=title, numbers=2))
    console.print(table(ENERGY_COLUMNS, energy_rows(done), numbers=2))
    console.print(table(TIME_COLUMNS, time_rows(done), numbers=1))
    lines = (
        f"basis    {done.basis} ({done.basis.digest})",
        f"adapter  {folder / 'adapter'}; in a fresh model its outputs differ by at most "
        f"{done.loaded_difference:.1e}",
        "next",
    )
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    for command, meaning in next_steps(done, folder):
        console.print(f"  {command}\n      {meaning}", markup=False, soft_wrap=True)
