"""``sparsegrad-server cluster``: the processes of a Dask cluster, with the flags that keep it safe.

Each becomes the `dask` command of the same name. What that command leaves open by default is shut:
TLS is demanded, with a certificate from both sides; the pages with figures, which ask nobody for a
token, answer on loopback only; results that wait are not written to disk as pickles.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sparsegrad_shared.terminal.commands import Commands

from .options import Data, settings_from

if TYPE_CHECKING:
    from ..settings import Settings

PORT = 8786

app = Commands(
    name="cluster",
    help="Run the parts of a Dask cluster, over mutual TLS.",
    epilog="Example: sparsegrad-server cluster scheduler --host 10.0.0.5",
)

Host = Annotated[
    str | None,
    typer.Option(help="Address to listen on, and that others reach it by; any by default."),
]

_ENVIRONMENT = {
    "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True",
    "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False",
}


@app.command(has_json=False)
def scheduler(
    host: Host = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = PORT,
    data: Data = None,
) -> None:
    """Share out tasks among the workers of the cluster; knows nothing that cannot be lost.

    Example: sparsegrad-server cluster scheduler --host 10.0.0.5
    """
    settings = settings_from(data=data)
    options = ["--protocol", "tls", "--port", str(port)]
    _become("scheduler", options + _host(host), settings)


@app.command(has_json=False)
def worker(
    address: Annotated[
        str | None,
        typer.Option(
            "--scheduler", envvar="SPARSEGRAD_DASK_SCHEDULER", help="tls://host:port of it."
        ),
    ] = None,
    host: Host = None,
    data: Data = None,
) -> None:
    """Do the tasks of the cluster, one at a time, each on all threads that it may use.

    It reads gradients from the store that its settings name, as `serve` does; one a machine.

    Example: sparsegrad-server cluster worker --scheduler tls://10.0.0.5:8786
    """
    from sparsegrad_shared.errors import WrongUsage

    from ..jobs.executors.memory import worker_memory

    settings = settings_from(data=data, dask_scheduler=address)
    if settings.dask_scheduler is None:
        raise WrongUsage("expected --scheduler or SPARSEGRAD_DASK_SCHEDULER: tls://host:port")
    options = [settings.dask_scheduler, "--protocol", "tls", "--nthreads", "1"]
    memory = ["--memory-limit", str(worker_memory(settings))]
    _become("worker", options + memory + _host(host), settings)


def _host(host: str | None) -> list[str]:
    return [] if host is None else ["--host", host]


def _become(part: str, options: list[str], settings: Settings) -> None:
    """Go on as `dask scheduler` or `dask worker`, in this very process."""
    from ..jobs.executors.security import certificates

    authority, certificate, key = certificates(settings)
    tls = ["--tls-ca-file", authority, "--tls-cert", certificate, "--tls-key", key]
    pages = ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    command = [sys.executable, "-m", "dask", part, *options, *tls, *pages]
    # What a task needs to know of the store is in the settings of the process that runs it.
    place = {"SPARSEGRAD_DATA": str(settings.data)}
    os.execve(sys.executable, command, {**os.environ, **_ENVIRONMENT, **place})  # noqa: S606
