"""The application: its subcommands, and what becomes of their errors."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from importlib.metadata import version
from typing import Annotated, TextIO

import typer

from sparsegrad_shared.errors import MissingExtra, SparseGradError

from . import adapters, bases, calibrate, quickstart, train

_DISTRIBUTION = "sparsegrad-peft"
# Top-level modules that the extra `client` brings.
_CLIENT_MODULES = {
    "datasets", "httpx", "httpx_sse", "jaxtyping", "numpy", "platformdirs", "safetensors",
    "sklearn", "torch", "transformers",
}  # fmt: skip
_show_trace = False

app = typer.Typer(
    name="sparsegrad-client",
    help="Fine-tune models by updating the 1% of weights that matter, in a basis your team shares.",
    epilog="First time here? Run: sparsegrad-client quickstart",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("calibrate")(calibrate.calibrate)
app.command("train")(train.train)
app.add_typer(bases.app, name="bases")
app.add_typer(adapters.app, name="adapters")
app.command("quickstart")(quickstart.quickstart)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sparsegrad-client {version(_DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the whole trace of an error.")
    ] = False,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    global _show_trace
    _show_trace = debug


def main() -> None:
    """Run the command line; an error is one line on standard error.

    Exit codes: 0, done; 1, an error; 2, wrong usage; 130, interrupted.
    """
    warnings.showwarning = _show_warning
    # PyTorch's threads wait for one another by spinning unless told otherwise before it loads, and
    # the embedded server works beside them: with one of two cores busy, a MiniLM step took 2.0 s
    # spinning and 0.5 s so; on idle cores 0.25 and 0.27.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except SparseGradError as error:
        _fail(" ".join([error.message, *getattr(error, "__notes__", ())]))
    except ModuleNotFoundError as error:
        _fail(_missing(error).message)
    except Exception as error:  # noqa: BLE001 - the last place where it can be put in words
        _fail(
            f"unforeseen error: {type(error).__name__}: {error}; "
            "`sparsegrad-client --debug …` shows where"
        )


def _missing(error: ModuleNotFoundError) -> SparseGradError:
    module = (error.name or "").partition(".")[0]
    if module in _CLIENT_MODULES:
        return MissingExtra(
            f"this command needs {module}, which is not installed; "
            f"run: pip install '{_DISTRIBUTION}[client]'"
        )
    return MissingExtra(f"a module is missing: {error.name}; `--debug` shows who needs it")


def _fail(message: str) -> None:
    if _show_trace:
        traceback.print_exc()
    typer.echo(f"error: {message}", err=True)
    sys.exit(1)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning to the person at the terminal: our words, not where in the code they were said."""
    if issubclass(category, UserWarning):
        typer.echo(f"warning: {message}", err=True)
