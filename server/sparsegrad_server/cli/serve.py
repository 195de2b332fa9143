"""``sparsegrad-server serve``: the service, with a worker beside it."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Data, configure_logs, settings_from


def serve(
    data: Data = None,
    host: Annotated[
        str | None,
        typer.Option(envvar="SPARSEGRAD_HOST", help="Address to listen on; 127.0.0.1 by default."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            envvar="SPARSEGRAD_PORT",
            min=0,
            max=65535,
            help="Port; 8765 by default, 0 for a free one.",
        ),
    ] = None,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Start no worker; run `worker` elsewhere.")
    ] = False,
    embedded: Annotated[
        bool,
        typer.Option(
            "--embedded",
            help="For a parent program: loopback only, says where it is on standard output, ends "
            "when standard input closes.",
        ),
    ] = False,
) -> None:
    """Answer requests over a data folder, and run a worker for its jobs.

    Example: sparsegrad-server serve --data /srv/sparsegrad --host 0.0.0.0 --port 8765
    """
    from ..serving import serve_until_stopped

    settings = settings_from(data=data, host=host, port=port)
    configure_logs(settings)
    raise typer.Exit(serve_until_stopped(settings, with_worker=not no_worker, embedded=embedded))
