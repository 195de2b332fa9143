"""Progress where nobody watches: plain lines, now and then."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from rich.console import Console

from ..progress import Part, whole_of
from .amounts import amount, duration, rate

_EVERY = 10.0  # seconds between two lines of one phase


@dataclass
class _Phase:
    began: float
    at_begin: int  # done before the first look: no part of the rate
    said: float | None = None  # when there was a line
    ended: bool = False


class Lines:
    """Phases as lines: each one's first and last, and one now and then.

    Args:
        console: where to write.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phases: dict[str, _Phase] = {}

    def show(self, phase: str, completed: int, total: int) -> None:
        """Write a line when one is due."""
        now = monotonic()
        # One without a total has nothing to say at its beginning.
        line = whole_of(phase)
        seen = self._phases.setdefault(line, _Phase(now, completed, None if total > 0 else now))
        ends = total > 0 and completed >= total and line == phase
        due = seen.said is None or now - seen.said >= _EVERY
        if seen.ended or not (ends or due):
            return
        seen.said, seen.ended = now, ends
        if isinstance(phase, Part):
            said = f"{line}: {phase}"
            said += f": {amount(phase, completed)}/{amount(phase, total)}" if total > 0 else ""
        else:
            said = _line(phase, completed, total, completed - seen.at_begin, now - seen.began)
        self._console.print(said, highlight=False, markup=False, soft_wrap=True)


def _line(phase: str, completed: int, total: int, gained: int, seconds: float) -> str:
    if total <= 0:
        return f"{phase}: {duration(seconds)} so far"
    parts = [f"{phase}: {amount(phase, completed)}/{amount(phase, total)}"]
    if gained > 0 and seconds > 0:
        parts.append(rate(phase, gained, seconds))
        if completed < total:
            parts.append(f"{duration((total - completed) * seconds / gained)} left")
    return ", ".join(parts)
