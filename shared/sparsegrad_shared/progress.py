"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

# Told the phase in words, how many of its units are done, and how many there are; 0: not known.
Progress = Callable[[str, int, int], None]


class InBytes(str):
    """A phase whose units are bytes."""

    __slots__ = ()


class Part(str):
    """A phase that is one of several turns of a longer one, in whose line it is shown.

    Args:
        words: what this part does.
        whole: the longer phase.
    """

    __slots__ = ("whole",)
    whole: str

    def __new__(cls, words: str, whole: str) -> Self:
        """A part of `whole`."""
        part = super().__new__(cls, words)
        part.whole = whole
        return part


def whole_of(phase: str) -> str:
    """The phase in whose line a phase is shown: its own, unless it is a part."""
    return phase.whole if isinstance(phase, Part) else phase


def ignore(phase: str, completed: int, total: int) -> None:
    """For whom it is all one."""
