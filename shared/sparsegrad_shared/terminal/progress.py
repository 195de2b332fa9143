"""Progress on standard error: bars on a terminal, now and then a plain line elsewhere.

Under ``--quiet`` nothing is written, under ``--json`` nothing but bars on a terminal: a program
that reads standard error finds errors and warnings alone.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console

from . import mode

if TYPE_CHECKING:
    from .bars import Bars
    from .lines import Lines


class _Shown(Protocol):
    def show(self, phase: str, completed: int, total: int) -> None: ...


class Phases:
    """Phases of work, each counted from 0 to a total.

    Calling it says how far a phase is; the first call of a phase opens it. A total of 0 means that
    it is not known how long the phase takes. A phase that is an `InBytes` is counted in bytes; one
    that is a `Part` is shown in the line of the longer one that it belongs to.

    Args:
        console: where to write; standard error when None.
    """

    def __init__(self, console: Console | None = None) -> None:
        present = mode.current()
        self._console = console or Console(stderr=True)
        silent = present.quiet or (present.json and not self._console.is_terminal)
        self._console.quiet |= silent
        self._bars: Bars | None = None
        self._lines: Lines | None = None
        if self._console.quiet:
            return
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            from .bars import Bars

            self._bars = Bars(self._console)
        else:
            from .lines import Lines

            self._lines = Lines(self._console)

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop(done=kind is None)

    def __call__(self, phase: str, completed: int, total: int) -> None:
        """Say that `completed` of `total` units of `phase` are done."""
        shown: _Shown | None = self._bars or self._lines
        if shown is not None:
            shown.show(phase, completed, total)

    def say(self, line: str) -> None:
        """Write a line above the bars."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
