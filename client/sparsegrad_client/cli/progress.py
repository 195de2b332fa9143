"""Progress on standard error: bars on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_LINE_SECONDS = 10.0  # between two plain lines of one phase


class Phases:
    """Phases of work, each counted from 0 to a total.

    Calling it says how far a phase is; the first call of a phase opens it.

    Args:
        console: where to write; bars when it is a terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bars = _Bars(self._console) if self._console.is_terminal else None
        self._lines = _Lines(self._console)

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.progress.stop()

    def __call__(self, phase: str, completed: int, total: int) -> None:
        """Say that `completed` of `total` units of `phase` are done."""
        (self._bars or self._lines).show(phase, completed, total)

    def say(self, line: str) -> None:
        """Write a line above the bars."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class _Bars:
    def __init__(self, console: Console) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def show(self, phase: str, completed: int, total: int) -> None:
        if phase not in self._tasks:
            self._tasks[phase] = self.progress.add_task(phase, total=total)
        self.progress.update(self._tasks[phase], completed=completed, total=total)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._began: dict[str, tuple[float, int]] = {}  # when, and how much was done by then
        self._said: dict[str, float] = {}

    def show(self, phase: str, completed: int, total: int) -> None:
        now = monotonic()
        began, done = self._began.setdefault(phase, (now, completed))
        ended = total > 0 and completed >= total
        due = now - self._said.get(phase, -_LINE_SECONDS) >= _LINE_SECONDS
        if self._said.get(phase) == float("inf") or not (ended or due):
            return
        self._said[phase] = float("inf") if ended else now
        self._console.print(
            _line(phase, completed, total, _rate(completed - done, now - began)),
            highlight=False,
            markup=False,
        )


def _rate(units: int, seconds: float) -> float | None:
    return units / seconds if units > 0 and seconds > 0 else None


def _line(phase: str, completed: int, total: int, rate: float | None) -> str:
    if rate is None:
        return f"{phase}: {completed}/{total}"
    left = f", {(total - completed) / rate:.0f} s left" if completed < total else ""
    return f"{phase}: {completed}/{total}, {rate_text(rate)}{left}"


def rate_text(rate: float) -> str:
    """Units a second, or seconds a unit, whichever reads better."""
    return f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(rate_text(speed) if speed else "", style="progress.data.speed")
