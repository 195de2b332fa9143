"""Looks that those who watch the same thing share: many readers ask no more than one does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Seen = TypeVar("Seen")

FRESH_SECONDS = 0.9  # readers look once a second
FORGET_SECONDS = 60.0


class _Entry(Generic[Seen]):
    def __init__(self, look: Callable[[], Seen]) -> None:
        self.look = look
        self.lock = threading.Lock()
        self.wanted = 0.0
        self.seen: tuple[float, Seen] | None = None


class Looks(Generic[Seen]):
    """The things that somebody watches.

    Args:
        begin: makes what looks at the thing of that name; it may keep what it saw before.
        fresh: seconds that a look serves everyone for.
        forget: seconds after the last reader has gone until what was kept is dropped.
    """

    def __init__(
        self,
        begin: Callable[[str], Callable[[], Seen]],
        fresh: float = FRESH_SECONDS,
        forget: float = FORGET_SECONDS,
    ) -> None:
        self._begin = begin
        self._fresh, self._forget = fresh, forget
        self._entries: dict[str, _Entry[Seen]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def see(self, name: str) -> Seen:
        """How the thing of that name is, or was a moment ago; whoever comes second waits.

        Raises:
            Exception: what looking at it has raised.
        """
        return self._see(name, self._fresh)

    def see_anew(self, name: str) -> Seen:
        """How the thing of that name is, for who asks once.

        Raises:
            Exception: what looking at it has raised.
        """
        return self._see(name, 0.0)

    def _see(self, name: str, fresh: float) -> Seen:
        entry = self._entry(name)
        with entry.lock:
            if entry.seen is None or time.monotonic() - entry.seen[0] >= fresh:
                seen = entry.look()
                entry.seen = time.monotonic(), seen
            return entry.seen[1]

    def _entry(self, name: str) -> _Entry[Seen]:
        clock = time.monotonic()
        with self._lock:
            if name not in self._entries:
                self._entries[name] = _Entry(self._begin(name))
            self._entries[name].wanted = clock
            self._entries = {
                key: entry
                for key, entry in self._entries.items()
                if clock - entry.wanted <= self._forget
            }
            return self._entries[name]
