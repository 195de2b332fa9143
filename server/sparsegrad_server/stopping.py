"""Being asked to stop: by a signal, or by the end of the parent process.

A parent's pipe to our standard input closes however the parent ends.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

ASKING = (signal.SIGTERM, signal.SIGINT)


def at_signal(act: Callable[[], None]) -> None:
    """Call `act` from a thread whenever a signal asks us to stop; to be set up in the main thread.

    Python runs a handler between two instructions of the main thread. A signal that comes when
    that thread is just about to wait is heard only after its wait, and a handler that runs within
    `Event.wait` may want the very lock that is held there. What Python writes to its wake-up pipe
    is there at once, whatever the main thread is at.
    """
    heard, told = os.pipe()
    os.set_blocking(told, False)  # as Python wants it
    for number in ASKING:
        signal.signal(number, _no_default)
    signal.set_wakeup_fd(told)

    def wait() -> None:
        while number := os.read(heard, 1):
            if number[0] in ASKING:
                act()

    threading.Thread(target=wait, daemon=True).start()


def at_end_of_input(act: Callable[[], None]) -> None:
    """Call `act`, once, from a thread, when standard input ends."""

    def wait() -> None:
        # Not through sys.stdin: its lock would still be ours when the interpreter ends.
        while os.read(0, 4096):
            pass
        act()

    threading.Thread(target=wait, daemon=True).start()


def _no_default(*_: object) -> None:
    """Python writes to the pipe only for signals that have a handler of its own."""
