"""When a call is sent again: a conversation as a generator that does no I/O.

`converse` yields what to do, `Send` or `Wait`, and is given the answer, or the transport's failure
thrown in; it returns the call's value or raises. Who drives it (`BasisService`,
`AsyncBasisService`) decides nothing.

A request is sent again when the server says when to come again, or when the connection failed and
the request is idempotent or never left. A server that has never answered is not waited for: it is
more often a wrong address than a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import httpx

from sparsegrad_shared.errors import (
    Overloaded,
    ServerUnreachable,
    SlotBusy,
    SparseGradError,
    Unavailable,
)

from .answers import Answer
from .calls import Call
from .config import SERVER_VARIABLE, ServiceConfig

T = TypeVar("T")

FIRST_PAUSE = 0.25  # seconds; doubles with each failure
LONGEST_PAUSE = 8.0  # seconds

_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_COME_AGAIN = (Overloaded, SlotBusy, Unavailable, ServerUnreachable)  # the last: a proxy's 503


@dataclass(frozen=True)
class Send:
    """Send the call; give back its `Answer`, or throw in the transport's failure."""


@dataclass(frozen=True)
class Wait:
    """Wait that many seconds."""

    seconds: float


@dataclass
class Line:
    """What is known of the way to the server: whether it has ever answered."""

    answered: bool = False


class Patience:
    """How long to go on after failures: doubling pauses until a time has passed.

    Args:
        seconds: time from the first failure to the last attempt.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._pause = FIRST_PAUSE
        self._ends: float | None = None

    def pause(self, now: float, asked: float | None = None) -> float | None:
        """Seconds to wait before the next attempt, or None when patience has run out.

        Args:
            now: the time of a clock that never goes back.
            asked: what the server asked for, if it did.
        """
        self._ends = now + self._seconds if self._ends is None else self._ends
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        pause = pause if asked is None else max(asked, 0.0)
        return pause if now + pause <= self._ends else None


def converse(
    call: Call[T], config: ServiceConfig, line: Line, clock: Callable[[], float]
) -> Generator[Send | Wait, Answer | None, T]:
    """The conversation about one call; see the module's docstring."""
    lost, busy = Patience(config.patience), Patience(config.busy_patience)
    while True:
        error: SparseGradError
        try:
            answer = yield Send()
        except httpx.TransportError as failure:
            error = unreachable(failure, config.url)
            again = isinstance(failure, _NEVER_LEFT) or call.idempotent
            pause = lost.pause(clock()) if again and line.answered else None
        else:
            if answer is None:
                raise TypeError("a Send is answered with an Answer")
            line.answered = True
            try:
                return call.parse(answer)
            except _COME_AGAIN as refusal:
                error = refusal
                asked = refusal.retry_after
                pause = None if asked is None else busy.pause(clock(), asked)
        if pause is None:
            raise error
        yield Wait(pause)


def unreachable(failure: httpx.TransportError, url: str) -> ServerUnreachable:
    """What a failed connection means to a user."""
    reason = str(failure) or type(failure).__name__
    return ServerUnreachable(
        f"no answer from the server at {url}: {reason}. Start it with `sparsegrad-server serve`, "
        f"or check the address in {SERVER_VARIABLE}; with none set, an embedded server is used."
    )
