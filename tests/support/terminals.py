"""A program on a terminal of its own: what it draws, what is typed, Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import Self

_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SECONDS = 120.0  # until something that is waited for counts as never coming


class Terminal:
    """A process whose standard input, output and error are one terminal of 80 columns.

    Args:
        command: what to run.
        env: its environment.
        cwd: its folder.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], cwd: os.PathLike[str] | None = None
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        names = {"TERM": "xterm-256color"} | dict(env)
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=names, cwd=cwd
        )
        os.close(theirs)
        self.seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def until(self, pattern: str) -> str:
        """Read until a pattern has come; all that came so far."""
        ends = monotonic() + _SECONDS
        while not re.search(pattern, self.seen):
            piece = self._read(ends - monotonic())
            assert piece, f"{pattern!r} never came: {self.seen}"
            self.seen += piece
        return self.seen

    def type(self, text: str) -> None:
        """Press keys; Ctrl-D is the end of input."""
        os.write(self._ours, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Read what comes until the process has ended; its exit code."""
        ends = monotonic() + _SECONDS
        while piece := self._read(ends - monotonic()):
            self.seen += piece
        return self.process.wait(_SECONDS)

    @property
    def lines(self) -> list[str]:
        """All lines that were ever drawn, without colours."""
        return re.split(r"\r*\n|\r", _SEQUENCE.sub("", self.seen).rstrip())

    def _read(self, seconds: float) -> str:
        ready, _, _ = select.select([self._ours], [], [], max(seconds, 0))
        assert ready, f"nothing came for too long: {self.seen}"
        try:
            return os.read(self._ours, 1 << 16).decode(errors="replace")
        except OSError:  # the other side is closed
            return ""
