"""How much a command says, and in what form: chosen once for a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Mode:
    """How to speak.

    Attributes:
        quiet: only the result, in brief, and errors.
        json: the result as one JSON document, an error as a problem.
        debug: an error with its whole trace.
    """

    quiet: bool = False
    json: bool = False
    debug: bool = False

    def __or__(self, other: Mode) -> Mode:
        return Mode(self.quiet or other.quiet, self.json or other.json, self.debug or other.debug)


_current = Mode()


def current() -> Mode:
    """The mode of this process."""
    return _current


def take(mode: Mode) -> None:
    """Speak so from now on."""
    global _current
    _current = mode


def guess(arguments: Sequence[str]) -> Mode:
    """The mode that a command line asks for, before it is known to be one that can be read."""
    words = list(arguments)
    if "--" in words:
        words = words[: words.index("--")]
    return Mode(
        quiet="--quiet" in words or "-q" in words, json="--json" in words, debug="--debug" in words
    )
