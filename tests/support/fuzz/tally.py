"""What a campaign counts, and what it holds against the server."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

# An answer after this long is a hang: the longest that the server may wait for a body, and then
# some, for a machine that is busy.
DEADLINE_SECONDS = 15.0
SAY_SECONDS = 5.0
SHOWN = 20  # complaints that are printed


@dataclass(frozen=True)
class Complaint:
    """Something that should not have happened.

    Attributes:
        kind: of the case.
        what: what was wrong.
        case: how to do it again.
    """

    kind: str
    what: str
    case: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}\n    {self.case}"


@dataclass
class Tally:
    """Counts of cases and answers; may be told by several threads.

    Args:
        expected: cases of the whole campaign.
        say: told how far it is, every few seconds.
    """

    expected: int
    say: Callable[[str], None]
    cases: Counter[str] = field(default_factory=Counter)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    slowest: dict[str, tuple[float, str]] = field(default_factory=dict)
    complaints: list[Complaint] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    _said: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def total(self) -> int:
        """Cases so far."""
        return self.cases.total()

    def count(self, kind: str, answer: int | str, seconds: float, case: str) -> None:
        """Count a case: the status that it was answered with, or what happened in its place."""
        with self._lock:
            self.cases[kind] += 1
            self.answers[kind, str(answer)] += 1
            if seconds >= self.slowest.get(kind, (0.0, ""))[0]:
                self.slowest[kind] = (seconds, case)
        if isinstance(answer, int) and answer >= 500:
            self.complain(kind, f"answered {answer}", case)
        if seconds > DEADLINE_SECONDS:
            self.complain(kind, f"took {seconds:.1f} s", case)
        self._say_now_and_then()

    def complain(self, kind: str, what: str, case: str) -> None:
        """Hold something against the server; the same thing once."""
        complaint = Complaint(kind, what, case)
        if complaint not in self.complaints:
            self.complaints.append(complaint)

    def table(self) -> Iterator[str]:
        """The counts, a line a kind."""
        yield f"{'kind':<22}{'cases':>7}  {'slowest':>8}  answers"
        for kind, cases in sorted(self.cases.items()):
            answers = sorted((what, n) for (of, what), n in self.answers.items() if of == kind)
            said = " ".join(f"{what}:{n}" for what, n in answers)
            yield f"{kind:<22}{cases:>7}  {self.slowest[kind][0]:>6.2f} s  {said}"
        by_status = Counter[str]()
        for (_, what), n in self.answers.items():
            by_status[what] += n
        said = " ".join(f"{what}:{n}" for what, n in sorted(by_status.items()))
        seconds = max(seconds for seconds, _ in self.slowest.values())
        yield f"{'all':<22}{self.total:>7}  {seconds:>6.2f} s  {said}"

    def _say_now_and_then(self) -> None:
        now = time.monotonic()
        if now - self._said < SAY_SECONDS:
            return
        self._said = now
        rate = self.total / (now - self.began)
        left = max(0, self.expected - self.total) / rate
        self.say(
            f"{self.total}/{self.expected} cases, {rate:.0f}/s, {left:.0f} s left, "
            f"{len(self.complaints)} complaints"
        )
