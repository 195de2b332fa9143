"""Being asked to stop, whatever the main thread is at."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# The signal goes to another thread, as it does when the main thread has not quite begun to wait:
# that wait is not cut short, and Python's own handlers would run after it.
ELSEWHERE = """
import signal, sys, threading
from sparsegrad_server.stopping import at_signal

asked, others = threading.Event(), threading.Event()
at_signal(asked.set)
thread = threading.Thread(target=others.wait)
thread.start()
threading.Timer(0.2, signal.pthread_kill, (thread.ident, int(sys.argv[1]))).start()
heard = asked.wait(30)
others.set()
sys.exit(0 if heard else "not heard")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_heard_while_the_main_thread_waits(number: signal.Signals) -> None:
    program = [sys.executable, "-c", ELSEWHERE, str(int(number))]
    assert subprocess.run(program, timeout=60).returncode == 0
