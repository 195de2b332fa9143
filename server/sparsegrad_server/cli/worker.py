"""``sparsegrad-server worker``: a process that does the jobs."""

from __future__ import annotations

from typing import Annotated

import typer

from sparsegrad_shared.errors import Unavailable

from .options import Data, configure_logs, settings_from


def worker(
    data: Data = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of linear algebra; all CPUs by default.")
    ] = None,
    healthcheck: Annotated[
        bool,
        typer.Option(
            "--healthcheck", help="Do nothing but say whether this machine's worker lives."
        ),
    ] = False,
    until_input_ends: Annotated[
        bool, typer.Option("--until-input-ends", hidden=True, help="Stop with the parent process.")
    ] = False,
) -> None:
    """Sum gradients, solve, judge and publish; as many workers as you like share a data folder.

    On Ctrl-C or SIGTERM the job at hand is given back, and another worker goes on.

    Example: sparsegrad-server worker --data /srv/sparsegrad --threads 16
    """
    from ..jobs.process import is_alive, run_worker

    settings = settings_from(data=data, worker_threads=threads)
    configure_logs(settings)
    if healthcheck:
        if not is_alive(settings):
            raise Unavailable("no sign of life from this machine's worker")
        return
    raise typer.Exit(run_worker(settings, until_input_ends=until_input_ends))
