"""How the web server ends: first it says so, then it takes nothing new, then it finishes.

::

    asked to stop ──► draining: not ready, streams end      for `drain_seconds`
                  ──► closed: no new connections            for up to `grace_seconds`
                  ──► cut off, what is not finished         the clients send it again
"""

from __future__ import annotations

import math
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from ..stopping import ASKING, at_end_of_input


class StoppableServer(uvicorn.Server):
    """uvicorn's server, which calls back once it answers requests, and once it shall stop.

    Args:
        config: uvicorn's.
        draining: set when the server shall stop; the app looks at it.
        drain_seconds: how long connections are still taken after that.
        on_started: called once requests are answered.
        on_stopping: called once the server shall stop.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        draining: threading.Event,
        drain_seconds: float,
        on_started: Callable[[], None],
        on_stopping: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._draining = draining
        self._drain_seconds = drain_seconds
        self._on_started = on_started
        self._on_stopping = on_stopping
        self._closes_at = math.inf

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self._on_started()

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, whether it is time to stop."""
        now = time.monotonic()
        if self._draining.is_set() and self._closes_at == math.inf:
            self._closes_at = now + self._drain_seconds
            self._on_stopping()
        if now >= self._closes_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second signal drains no longer, a second Ctrl-C waits for nothing."""
        if self._draining.is_set():
            super().handle_exit(sig, frame)
        self._draining.set()


def stop_when_asked(draining: threading.Event, *, input_too: bool) -> None:
    """Have the server end on a signal that comes before its own handlers are there, or after them.

    Args:
        draining: what tells the server.
        input_too: whether to end when standard input does.
    """

    def ask(*_: object) -> None:
        draining.set()

    for number in ASKING:
        signal.signal(number, ask)
    if input_too:
        at_end_of_input(ask)
