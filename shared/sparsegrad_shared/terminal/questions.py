"""A question before anything that cannot be undone."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..errors import NotConfirmed, WrongUsage

YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Do it without a question.", show_default=False)
]


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
        agreed = typer.confirm(what, err=True)
    except typer.Abort:  # the end of input
        agreed = False
    if not agreed:
        raise NotConfirmed("nothing was changed")
