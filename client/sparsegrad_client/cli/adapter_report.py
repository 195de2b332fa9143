"""``sparsegrad-client adapters report``: the pictures of a training that was done before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sparsegrad_shared.terminal.progress import Phases
from sparsegrad_shared.terminal.results import Result


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT",
            help="The folder that a training wrote to; its training.jsonl is read.",
            show_default=False,
        ),
    ],
) -> Result:
    """Draw a training: loss and metric, entries touched, fit of the basis, speed, memory.

    Writes OUTPUT/report, a page and PNGs, in place of an earlier one; of a training that still
    goes on, what there is so far.

    Example:
        sparsegrad-client adapters report reviews
    """
    from ..report.training_report import write_training_report

    with Phases() as phases:
        page = write_training_report(folder, progress=phases)
    return Result(data={"page": page}, shown=[f"pictures  {page}"], brief=[str(page)])
