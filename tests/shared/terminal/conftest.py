"""A program that has all that a program can have, to be run as a process."""

from __future__ import annotations

from pathlib import Path

import pytest

_TOOL = '''
import errno, os, signal, sys, warnings
from pathlib import Path
from typing import Annotated

import typer

from sparsegrad_shared.errors import InvalidInput, SparseGradError, UnknownBasis
from sparsegrad_shared.terminal.commands import Commands, version_option
from sparsegrad_shared.terminal.questions import YesOption, confirm
from sparsegrad_shared.terminal.results import Result
from sparsegrad_shared.terminal.running import run
from sparsegrad_shared.terminal.tables import Table
from sparsegrad_shared.terminal.values import held_to

app = Commands(name="tool", help="A tool.", epilog="Example: tool make it",
               options=[version_option("tool")])


def even(text):
    if int(text) % 2:
        raise InvalidInput(f"expected an even number; got {text}")


@app.command()
def make(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.")],
    size: Annotated[str, typer.Option(help="Even.", callback=held_to(even))] = "2",
    part: Annotated[list[str] | None, typer.Option(help="Even.", callback=held_to(even))] = None,
    yes: YesOption = False,
) -> Result:
    """Make it."""
    confirm(f"Make {name}?", yes=yes)
    return Result(
        data={"made": name, "size": float("nan"), "place": Path("a/b")},
        shown=[f"made [red]{name}", Table(("what", "size"), [("x", 2)], title="parts")],
        brief=[name],
        notes=["a hint"],
    )


@app.command()
def many() -> Result:
    """Print more than a pipe holds."""
    return Result(data=None, shown=["x" * 99] * 9999)


@app.command()
def fail(kind: Annotated[str, typer.Argument(help="How.")]) -> Result:
    """Fail."""
    noted = UnknownBasis("not there\\n  at all")
    noted.add_note("Look elsewhere.")
    raise {
        "ours": noted,
        "full": OSError(errno.ENOSPC, "No space left on device", "/data/x"),
        "file": PermissionError(errno.EACCES, "Permission denied", "/data/x"),
        "memory": MemoryError(),
        "extra": ModuleNotFoundError("no", name="absent.part"),
        "module": ModuleNotFoundError("no", name="somebody"),
        "library": KeyError("odd"),
        "known": ArithmeticError("sums"),
    }[kind]


@app.command()
def warn() -> Result:
    """Warn."""
    warnings.warn("mind the gap", stacklevel=1)
    warnings.warn("old", DeprecationWarning, stacklevel=1)
    return Result(data=1, shown=["done"])


def pause():
    # signal.pause() would miss a signal that comes right before it.
    while True:
        signal.sigtimedwait((), 0.05)


@app.command()
def wait(stubborn: Annotated[bool, typer.Option("--stubborn", help="Tidy up for ever.")] = False):
    """Wait for Ctrl-C."""
    try:
        print("waiting", flush=True)
        pause()
    except KeyboardInterrupt as interruption:
        interruption.add_note("Go on with: tool wait --again")
        if stubborn:
            print("tidying", flush=True)
            pause()
        raise


@app.command(has_json=False)
def serve():
    """Serve."""


def explain(error):
    return InvalidInput("sums do not add up") if isinstance(error, ArithmeticError) else None


run(app, "tool", {"absent": "more"}, explain)
'''


@pytest.fixture(scope="session")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program's file."""
    path = tmp_path_factory.mktemp("tool") / "tool.py"
    path.write_text(_TOOL)
    return path
