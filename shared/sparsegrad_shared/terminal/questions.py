"""A question before anything that cannot be undone."""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import Annotated

import typer

from ..errors import NotConfirmed, WrongUsage

YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Do it without a question.", show_default=False)
]
_ANSWERS = {"y": True, "yes": True, "n": False, "no": False, "": False}


def confirm(what: str, *, yes: bool) -> None:
    """Go on only when somebody wants it.

    Args:
        what: a question, such as ``Delete team/films@2 for everyone?``.
        yes: whether it was answered on the command line.

    Raises:
        WrongUsage: when nobody is there to answer.
        NotConfirmed: when the answer is no, as it is by default.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise WrongUsage(f"{what} Nobody is there to answer; say it with --yes")
    try:
        agreed = _asked(what)
    except KeyboardInterrupt:
        _say("\n")  # what is said next begins a line
        raise
    if not agreed:
        raise NotConfirmed("nothing was changed")


def _asked(what: str) -> bool:
    agreed = None
    while agreed is None:
        _say(f"{what} [y/N] ")
        agreed = _ANSWERS.get(_answer().strip().lower())
    return agreed


def _answer() -> str:
    """A line that somebody types; nothing at the end of input.

    Python looks at signals before it begins to read, not while it does: a Ctrl-C in between would
    wait for the next key. So we wait for either.
    """
    heard, told = os.pipe()
    os.set_blocking(told, False)
    before = signal.set_wakeup_fd(told)
    try:
        select.select([sys.stdin, heard], [], [])
        line = sys.stdin.readline()
    finally:
        signal.set_wakeup_fd(before)
        os.close(heard)
        os.close(told)
    if not line:
        _say("\n")
    return line


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
