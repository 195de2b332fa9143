"""The application: its subcommands, and what becomes of their errors."""

from __future__ import annotations

import sys

import typer

from sparsegrad_shared.errors import SparseGradError

from ..telemetry import logs
from . import audit, check, cluster, gc, serve, settings, token, worker

_OURS = ("sparsegrad_server", "sparsegrad_shared")

app = typer.Typer(
    name="sparsegrad-server",
    help="Store gradients, compute bases from them, and keep the bases for the whole team.",
    epilog="Example: sparsegrad-server serve --data /srv/sparsegrad\n\n"
    "Every setting is also read from the environment: --data is SPARSEGRAD_DATA.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("check")(check.check)
app.command("gc")(gc.gc)
app.command("audit")(audit.audit)
app.command("settings")(settings.settings)
app.add_typer(cluster.app, name="cluster")
app.add_typer(token.app, name="token")


def main() -> None:
    """Run the command line; an error is one line on standard error.

    Exit codes: 0, done; 1, an error; 2, wrong usage.
    """
    logs.configure("text", "info")  # until the settings are known
    try:
        app()
    except SparseGradError as error:
        _fail(error.message)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(_OURS):
            raise
        _fail(f"sparsegrad-server needs {error.name}: pip install 'sparsegrad-peft[server]'")
    except OSError as error:
        what = f"cannot use {error.filename}: {error.strerror}" if error.filename else str(error)
        _fail(what)


def _fail(message: str) -> None:
    typer.echo(f"error: {message}", err=True)
    sys.exit(1)
