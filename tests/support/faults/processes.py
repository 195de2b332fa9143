"""Real processes that can be killed and started again, cheaply.

A process is forked from a server of forks (`multiprocessing`'s) that has imported the program and
done nothing else: it is in the state of a fresh interpreter after its imports, and saves the
second that those take. It runs the command's own `main`, with arguments and environment as from a
shell. It ends when the harness does, however that ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import parent_process
from pathlib import Path
from typing import Any

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "sparsegrad_server.cli.app",
        "sparsegrad_server.serving",
        "sparsegrad_server.jobs.process",
        "sparsegrad_client.service",
    ]
)
END_SECONDS = 60.0


class Killable:
    """A program that runs until it ends or is killed, and can be started again.

    Args:
        name: what it is called.
        log: file that its output goes to.
        program: called in the new process.
        arguments: what it is called with.
    """

    def __init__(
        self, name: str, log: Path, program: Callable[..., object], *arguments: Any
    ) -> None:
        self.name = name
        self._log = log
        log.touch()
        self._program = program
        self._arguments = arguments
        self._process = self._start()

    def restart(self) -> None:
        """Start it anew, after it has ended."""
        self._process = self._start()

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does (SIGKILL)."""
        self._process.kill()
        self._process.join(END_SECONDS)

    def stop(self) -> None:
        """Ask it to end (SIGTERM), and wait until it has."""
        self._process.terminate()
        self._process.join(END_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def join(self, seconds: float) -> int | None:
        """Wait for its end; its exit code, negative for a signal, or None when it still runs."""
        self._process.join(seconds)
        return self._process.exitcode

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._process.exitcode

    @property
    def output(self) -> str:
        """The end of what it has said."""
        return self._log.read_text()[-4000:]

    def _start(self) -> multiprocessing.context.ForkServerProcess:
        process = _FORKS.Process(
            target=_run, args=(self._log, self._program, self._arguments), daemon=True
        )
        process.start()
        return process


def command(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """`sparsegrad-server` with these arguments, as a program for `Killable`."""
    from sparsegrad_server.cli import main

    os.environ.update(environment)
    sys.argv = ["sparsegrad-server", *arguments]
    main()


def _run(log: Path, program: Callable[..., object], arguments: Sequence[Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    program(*arguments)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
