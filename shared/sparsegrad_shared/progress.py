"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable

# Told the phase in words, how many of its units are done, and how many there are; 0: not known.
Progress = Callable[[str, int, int], None]


class InBytes(str):
    """A phase whose units are bytes."""

    __slots__ = ()


def ignore(phase: str, completed: int, total: int) -> None:
    """For whom it is all one."""
