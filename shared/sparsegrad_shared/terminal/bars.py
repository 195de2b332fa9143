"""Progress on a terminal: a line a phase, which stays when the phase is done.

A line is laid out for 80 columns and never longer than the terminal is wide::

    collecting gradients           ━━━━━━━━━━━━━━━━━━━━    12/33    2.1 s each   44 s left
    uploading gradients            ━━━━━━━━━━━━━━━━━━━━    99/99       31.0/s         3 s
"""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.table import Column
from rich.text import Text

from ..progress import InBytes
from .amounts import amount, duration, rate

_PHASE_WIDTH = 32
_BAR_WIDTH = 14


class Bars:
    """Phases as bars.

    Args:
        console: a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            _Phase(table_column=Column(max_width=_PHASE_WIDTH, no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=_BAR_WIDTH),
            _Amount(table_column=Column(justify="right", no_wrap=True)),
            _Rate(table_column=Column(justify="right", no_wrap=True)),
            _Time(table_column=Column(justify="right", no_wrap=True)),
            console=console,
            redirect_stdout=False,  # the result goes where it was sent
        )
        self._tasks: dict[str, TaskID] = {}

    def start(self) -> None:
        """Begin to draw."""
        self._progress.start()

    def stop(self) -> None:
        """Draw for the last time; what was left open for want of a total is done."""
        self._progress.stop()

    def show(self, phase: str, completed: int, total: int) -> None:
        """Say how far a phase is."""
        if phase not in self._tasks:
            self._finish_those_without_total()
            self._tasks[phase] = self._progress.add_task(
                phase, total=total or None, kind=phase, completed=completed, at_begin=completed
            )
        self._progress.update(self._tasks[phase], completed=completed, total=total or None)

    def _finish_those_without_total(self) -> None:
        for task in self._progress.tasks:
            if task.total is None:
                self._progress.update(task.id, total=1, completed=1, uncounted=True)


class _Phase(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(task.description)


class _Amount(ProgressColumn):
    def render(self, task: Task) -> Text:
        if task.total is None or task.fields.get("uncounted"):
            return Text()
        kind: str = task.fields["kind"]
        if isinstance(kind, InBytes):
            return Text(amount(kind, task.total if task.finished else task.completed))
        return Text(f"{amount(kind, task.completed)}/{amount(kind, task.total)}")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        if task.total is None or task.fields.get("uncounted"):
            return Text()
        kind: str = task.fields["kind"]
        if task.finished:
            gained = task.completed - task.fields["at_begin"]
            return Text(rate(kind, gained, task.finished_time or 0.0))
        return Text(rate(kind, task.speed or 0.0, 1.0))


class _Time(ProgressColumn):
    max_refresh = 0.5  # seconds; a time left that jumps at every step cannot be read

    def render(self, task: Task) -> Text:
        if task.finished:
            return Text(duration(task.finished_time or 0.0))
        if task.time_remaining is None or task.total is None:
            return Text(duration(task.elapsed or 0.0))
        return Text(f"{duration(task.time_remaining)} left")
