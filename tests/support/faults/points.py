"""Every point at which a kill leaves another state on the disk, and a kill at one of them.

What changes the disk for good is a file opened for writing, an fsync, a rename, a removal, a new
folder, a commit that changes rows. A process that is armed counts these, and kills itself
(SIGKILL) just before the one of a number: all states that a kill can leave are met when every
number has had its turn. The hooks are in the test's process alone: the program knows nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}
_WRITING = os.O_WRONLY | os.O_RDWR


def armed(number: int, data: Path, note: Path, program: Callable[..., object], *args: Any) -> None:
    """Run a program of `Killable`'s that dies before its operation `number`.

    Args:
        number: counted from 1.
        data: the folder whose files count.
        note: file that the last operation's name goes to.
        program: what to run.
        *args: what it is called with.
    """
    counter = _Counter(number, note)
    _count_file_operations(counter, str(data))
    _count_commits(counter)
    program(*args)


class _Counter:
    def __init__(self, number: int, note: Path) -> None:
        self._left = number
        self._note = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self._lock = threading.Lock()

    def about_to(self, operation: str) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.write(self._note, operation.encode())
                os.kill(os.getpid(), signal.SIGKILL)


def _count_file_operations(counter: _Counter, data: str) -> None:
    def audit(name: str, arguments: tuple[Any, ...]) -> None:
        if name in _CHANGES:
            counter.about_to(f"{name} {Path(os.fsdecode(arguments[0])).name}")
        elif name == "open":
            path, _mode, flags = arguments
            ours = isinstance(path, str) and path.startswith(data)
            if ours and isinstance(flags, int) and flags & _WRITING:
                counter.about_to(f"open {Path(path).name}")

    sys.addaudithook(audit)
    fsync = os.fsync  # which raises no audit event

    def counted_fsync(descriptor: int) -> None:
        counter.about_to("os.fsync")
        fsync(descriptor)

    os.fsync = counted_fsync


def _count_commits(counter: _Counter) -> None:
    changes: dict[int, int] = {}

    def before_commit(connection: Connection) -> None:
        database: Any = connection.connection.dbapi_connection
        if database.total_changes != changes.get(id(database), 0):
            changes[id(database)] = database.total_changes
            counter.about_to("commit")

    event.listen(Engine, "commit", before_commit)
