"""The application: its subcommands, and what brings the packages that they need."""

from __future__ import annotations

import sys

from sparsegrad_shared.terminal import mode
from sparsegrad_shared.terminal.commands import Commands, exit_codes, version_option
from sparsegrad_shared.terminal.running import run

from ..telemetry import logs
from . import audit, check, cluster, gc, serve, settings, token, worker
from .trouble import explained

PROGRAM = "sparsegrad-server"
# Top-level modules, by the extra that brings them.
_MODULES = {
    "server": (
        "alembic", "fastapi", "google_crc32c", "httptools", "ml_dtypes", "numcodecs", "numpy",
        "obstore", "opentelemetry", "prometheus_client", "psycopg", "pydantic_settings",
        "safetensors", "scipy", "sqlalchemy", "tensorly", "threadpoolctl", "uvicorn", "zarr",
    ),
    "cluster": ("dask", "distributed"),
}  # fmt: skip

app = Commands(
    name=PROGRAM,
    help="Store gradients, compute bases from them, and keep the bases for the whole team.",
    epilog="Example: sparsegrad-server serve --data /srv/sparsegrad\n\n"
    "Every setting is also read from the environment: --data is SPARSEGRAD_DATA.\n\n"
    + exit_codes(),
    options=[version_option(PROGRAM)],
)
app.command("serve", has_json=False)(serve.serve)
app.command("worker", has_json=False)(worker.worker)
app.command("check")(check.check)
app.command("gc")(gc.gc)
app.command("audit")(audit.audit)
app.command("settings")(settings.settings)
app.add_typer(cluster.app, name="cluster")
app.add_typer(token.app, name="token")


def run_server() -> None:
    """Run the command line and end the process."""
    wanted = mode.guess(sys.argv[1:])
    # Until the settings are known, if the command asks for them at all.
    logs.configure("json" if wanted.json else "text", "warning" if wanted.quiet else "info")
    extras = {module: extra for extra, modules in _MODULES.items() for module in modules}
    run(app, PROGRAM, extras, explained)
