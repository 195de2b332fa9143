"""What a check finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        where: the thing, as its users call it.
        what: what is wrong with it.
        todo: what to do next.
    """

    where: str
    what: str
    todo: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.todo}"


@dataclass
class Notes:
    """What was looked at and what was found; `tell` hears of each finding as it is made.

    Attributes:
        tell: called with each finding.
        read: called with the bytes that were read since the last call.
        looked_at: how many of each kind of thing.
        findings: how many.
    """

    tell: Callable[[Finding], None]
    read: Callable[[int], None] = lambda size: None
    looked_at: Counter[str] = field(default_factory=Counter)
    findings: int = 0

    def add(self, where: str, what: str, todo: str) -> None:
        """Note a finding."""
        self.findings += 1
        self.tell(Finding(where, what, todo))
