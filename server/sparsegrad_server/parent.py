"""Ending with the parent process: its pipe to our standard input closes however it ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


def at_end_of_input(act: Callable[[], None]) -> None:
    """Call `act`, once, from a thread, when standard input ends."""

    def wait() -> None:
        # Not through sys.stdin: its lock would still be ours when the interpreter ends.
        while os.read(0, 4096):
            pass
        act()

    threading.Thread(target=wait, daemon=True).start()
