"""Server-sent events: how something is now, then each change, until it has ended.

Every stream looks for itself, in a thread, and only once the event before has left for its reader:
one who is slow costs a connection, and nothing piles up for him.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from fastapi.concurrency import run_in_threadpool
from fastapi.sse import ServerSentEvent

from sparsegrad_shared.errors import Overloaded

RETRY_MILLISECONDS = 1000  # after which a client that was sent away comes again
FULL_RETRY_SECONDS = 10.0

Seen = TypeVar("Seen")


async def follow(
    first: Seen,
    look: Callable[[], Seen],
    tell: Callable[[Seen], ServerSentEvent],
    *,
    ended: Callable[[Seen], bool],
    draining: threading.Event,
    every: float,
    beat: float = math.inf,
) -> AsyncIterator[ServerSentEvent]:
    """Tell how something is, and of each change, until it has ended, or the server stops.

    FastAPI sends a comment every 15 seconds when nothing is told, so that no proxy hangs up.

    Args:
        first: how it is now.
        look: looks again; may block.
        tell: makes the event.
        ended: whether nothing more will happen.
        draining: set once the server is asked to stop.
        every: seconds between two looks.
        beat: seconds after which it is told again though nothing has changed, so that whoever
            listens knows that he still hears.
    """
    clock = asyncio.get_running_loop().time
    told, at = first, clock()
    yield tell(told)
    while not ended(told):
        if draining.is_set():
            # A clean end; the client comes again, to this server started anew or to another one.
            yield ServerSentEvent(comment="the server is stopping", retry=RETRY_MILLISECONDS)
            return
        await asyncio.sleep(every)
        latest = await run_in_threadpool(look)
        if latest != told or clock() - at >= beat:
            told, at = latest, clock()
            yield tell(told)


class Streams:
    """How many streams each holder has open.

    Args:
        most: that one may have.
        what: they are, for messages, such as "live pages are open in this browser".
    """

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def one_more(self, holder: str) -> Iterator[None]:
        """Have one more open, for as long as the context lasts.

        Raises:
            Overloaded: when there are as many as there may be.
        """
        with self._lock:
            if self._open[holder] >= self._most:
                raise Overloaded(
                    f"{self._most} {self._what} already, and may be at most: close one of them",
                    retry_after=FULL_RETRY_SECONDS,
                )
            self._open[holder] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[holder] -= 1
                if not self._open[holder]:
                    del self._open[holder]
