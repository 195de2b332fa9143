"""Transactions that run at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

# A thread that has not come to its end by then waits for a lock; one that needs none has.
BLOCKED_SECONDS = 1.0


def at_once(acts: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """What each of these gives, or raises, when all begin at the same moment."""
    begin = threading.Barrier(len(acts))

    def run(act: Callable[[], T]) -> T | Exception:
        begin.wait()
        try:
            return act()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


@contextmanager
def begun(act: Callable[[], T]) -> Iterator[Future[T]]:
    """`act` in a thread of its own, given time to come as far as it can."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(act)
        ended = threading.Event()
        future.add_done_callback(lambda _: ended.set())
        ended.wait(BLOCKED_SECONDS)
        yield future
