"""Progress on a terminal: a line a phase, which stays when the phase is done.

A line is laid out for 80 columns and never longer than the terminal is wide::

    collecting gradients           ━━━━━━━━━━━━━━━━━━━━    12/33    2.1 s each   44 s left
    uploading gradients            ━━━━━━━━━━━━━━━━━━━━    99/99       31.0/s         3 s
"""

from __future__ import annotations

from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.table import Column
from rich.text import Text

from ..progress import InBytes, whole_of
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

    def stop(self, *, done: bool) -> None:
        """Draw for the last time.

        Args:
            done: whether the work ended well; then what was left open is done too.
        """
        if done:
            self._close()
        self._progress.stop()

    def show(self, phase: str, completed: int, total: int) -> None:
        """Say how far a phase is."""
        line = whole_of(phase)
        if line not in self._tasks:
            self._close()
            self._tasks[line] = self._progress.add_task(line, total=None)
        task = self._progress.tasks[self._tasks[line]]
        task.fields.pop("seconds", None)  # it was thought to be done
        if "kind" not in task.fields or (task.fields["kind"] != phase and task.total != total):
            self._begin(task, phase, completed, total)
        self._progress.update(
            task.id, description=phase, kind=phase, completed=completed, total=total or None
        )

    def _begin(self, task: Task, phase: str, completed: int, total: int) -> None:
        """A count that is a line's first, or another part's: rate and time are its own."""
        began = task.fields.get("began", monotonic())
        self._progress.reset(
            task.id,
            total=total or None,
            completed=completed,
            kind=phase,
            at_begin=completed,
            began=began,
        )

    def _close(self) -> None:
        """What came before is done: a line of parts, and one that was not counted."""
        for line, number in self._tasks.items():
            task = self._progress.tasks[number]
            if task.total is None or task.fields["kind"] != line:
                seconds = monotonic() - task.fields["began"]
                self._progress.update(
                    number, description=line, kind=line, total=1, completed=1, seconds=seconds
                )


class _Phase(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(task.description)


class _Amount(ProgressColumn):
    def render(self, task: Task) -> Text:
        if task.total is None or "seconds" in task.fields:
            return Text()
        kind: str = task.fields["kind"]
        if isinstance(kind, InBytes):
            return Text(amount(kind, task.total if task.finished else task.completed))
        return Text(f"{amount(kind, task.completed)}/{amount(kind, task.total)}")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        if task.total is None or "seconds" in task.fields:
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
            return Text(duration(task.fields.get("seconds", task.finished_time or 0.0)))
        if task.time_remaining is None or task.total is None:
            return Text(duration(task.elapsed or 0.0))
        return Text(f"{duration(task.time_remaining)} left")
