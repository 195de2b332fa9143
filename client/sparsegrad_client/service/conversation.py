"""When a call is sent again: a conversation as a generator that does no I/O.

`converse` yields what to do, `Send` or `Wait`, and is given the answer, or the transport's failure
thrown in; it returns the call's value or raises. Who drives it (`BasisService`,
`AsyncBasisService`) decides nothing.

A request is sent again when the server says when to come again, or when the connection failed and
the request is idempotent or never left. A server that has never answered is not waited for: it is
more often a wrong address than a restart. One that answers, and is only busy, is waited for as long
as it says so; each time a little longer than it asked for, so that those who were sent away at one
moment do not come back at one.
"""

from __future__ import annotations

import random
import re
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
LONGEST_ASKED = 3600.0  # seconds; a server that asks for more is asked again by then

_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_BUSY = (Overloaded, SlotBusy, Unavailable)  # the server lives, and says when to come again
COME_AGAIN = (*_BUSY, ServerUnreachable)  # the last: a proxy's 503


@dataclass(frozen=True)
class Send:
    """Send the call; give back its `Answer`, or throw in the transport's failure."""


@dataclass(frozen=True)
class Wait:
    """Wait that many seconds; `busy` when the server asked for it."""

    seconds: float
    busy: bool = False


OnBusy = Callable[[bool], None]  # told True when a wait for a busy server begins, False at its end


def ignore(_waiting: bool) -> None:
    """For whom it is all one."""


@dataclass
class Line:
    """What is known of the way to the server: whether it has ever answered."""

    answered: bool = False


def by_chance(limit: float) -> float:
    """A number between 0 and `limit`."""
    return random.uniform(0.0, limit)  # noqa: S311 - nobody gains by guessing it


class Patience:
    """How long to go on after failures: doubling pauses until a time has passed.

    Args:
        seconds: time from the first failure to the last attempt.
        spread: a number between 0 and its argument, by chance.
    """

    def __init__(self, seconds: float, spread: Callable[[float], float] = by_chance) -> None:
        self._seconds = seconds
        self._spread = spread
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
        if asked is not None:
            pause = min(max(asked, 0.0), LONGEST_ASKED) + self._spread(pause)
        return pause if now + pause <= self._ends else None


class Waits:
    """How long to go on with one thing that is asked of a server.

    Args:
        config: how patient to be.
        spread: a number between 0 and its argument, by chance.
    """

    def __init__(self, config: ServiceConfig, spread: Callable[[float], float] = by_chance) -> None:
        self._lost = Patience(config.patience, spread)
        self._busy = Patience(config.busy_patience, spread)

    def after_loss(self, now: float) -> float | None:
        """Seconds to wait after the connection failed, or None when patience has run out."""
        return self._lost.pause(now)

    def after_refusal(self, refusal: SparseGradError, now: float) -> float | None:
        """Seconds to wait after one of `COME_AGAIN`; None also where it does not say when."""
        if refusal.retry_after is None:
            return None
        return (self._busy if is_busy(refusal) else self._lost).pause(now, refusal.retry_after)


def is_busy(error: SparseGradError) -> bool:
    """Whether a server that lives says to come again."""
    return isinstance(error, _BUSY)


def converse(
    call: Call[T],
    config: ServiceConfig,
    line: Line,
    clock: Callable[[], float],
    spread: Callable[[float], float] = by_chance,
) -> Generator[Send | Wait, Answer | None, T]:
    """The conversation about one call; see the module's docstring."""
    waits = Waits(config, spread)
    while True:
        error: SparseGradError
        try:
            answer = yield Send()
        except httpx.TransportError as failure:
            error = unreachable(failure, config.url)
            again = isinstance(failure, _NEVER_LEFT) or call.idempotent
            pause = waits.after_loss(clock()) if again and line.answered else None
        else:
            if answer is None:
                raise TypeError("a Send is answered with an Answer")
            line.answered = True
            try:
                return call.parse(answer)
            except COME_AGAIN as refusal:
                error = refusal
                pause = waits.after_refusal(refusal, clock())
        if pause is None:
            raise error
        yield Wait(pause, is_busy(error))


def unreachable(failure: httpx.TransportError, url: str) -> ServerUnreachable:
    """What a failed connection means to a user."""
    reason = re.sub(r"^\[Errno -?\d+\] ", "", str(failure)) or type(failure).__name__
    return ServerUnreachable(
        f"no answer from the server at {url}: {reason}. Start it with `sparsegrad-server serve`, "
        f"or check the address in {SERVER_VARIABLE}; with none set, an embedded server is used."
    )
