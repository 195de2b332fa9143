"""Workers as processes: killed, stopped, replaced; the result is the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_server.catalog.tables import JobRow
from sparsegrad_server.jobs.process import is_alive

# Enough that a job takes a second or more when every partial sum is kept.
GROUP = group_of(d_out=200, d_in=120, gradients=60, held_out=1)
LOOK_SECONDS = 0.01


@contextmanager
def worker(bench: Workbench, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process over the bench's folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sparsegrad_server", "worker", "--data", str(bench.settings.data)],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "SPARSEGRAD_WORKER_THREADS": "1",
            "SPARSEGRAD_LEASE_SECONDS": "1",
            "SPARSEGRAD_PARTIAL_SECONDS": "0",
            "SPARSEGRAD_POLL_SECONDS": "0.05",
            **environment,
        },
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def in_the_middle(bench: Workbench, job_id: str, act: Callable[[], object]) -> None:
    """Do something to a worker that has a lease.

    The catalog's write lock is held from the look to the act, so that however fast the worker is,
    it cannot end the job in between.
    """
    pause = threading.Event()
    for _ in range(int(120 / LOOK_SECONDS)):
        with bench.catalog.writing() as session:
            row = session.get_one(JobRow, job_id)
            assert row.state in ("queued", "leased"), row.state
            if row.state == "leased":
                act()
                return
        pause.wait(LOOK_SECONDS)
    raise AssertionError("the worker took no lease")


def wait_for_end(bench: Workbench, job_id: str) -> JobRow:
    """Look at a job until it has ended."""
    pause = threading.Event()
    for _ in range(int(120 / LOOK_SECONDS)):
        with bench.catalog.reading() as session:
            row = session.get_one(JobRow, job_id)
        if row.state in ("done", "failed"):
            return row
        pause.wait(LOOK_SECONDS)
    raise AssertionError(f"the job came no further: {row.state}, {row.phase}, {row.completed}")


@pytest.fixture
def finished(bench: Workbench) -> str:
    """The job of a finished calibration that no worker has looked at yet."""
    calibration = bench.open(manifest_of([GROUP]))
    bench.store_all(calibration, GROUP)
    return bench.finish(calibration)


def test_a_worker_killed_in_the_middle_is_replaced_and_the_digest_is_the_same(
    bench: Workbench, finished: str
) -> None:
    with worker(bench) as first:
        in_the_middle(bench, finished, first.kill)
        first.wait()
    with worker(bench):
        row = wait_for_end(bench, finished)
    assert (row.state, row.fence) == ("done", 2)
    basis = bench.job(finished).basis
    assert basis is not None
    bench.bases.verify(basis.digest)
    undisturbed = bench.publish(manifest_of([GROUP], name="team/undisturbed")).basis
    assert undisturbed is not None
    assert basis.digest == undisturbed.digest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_asked_to_stop_gives_its_job_back_at_once(
    bench: Workbench, finished: str, number: signal.Signals
) -> None:
    with worker(bench, SPARSEGRAD_LEASE_SECONDS="3600") as process:
        in_the_middle(bench, finished, lambda: process.send_signal(number))
        assert process.wait(timeout=30) == 0
    with bench.catalog.reading() as session:
        row = session.get_one(JobRow, finished)
    assert (row.state, row.attempts, row.leased_until) == ("queued", 0, None)
    bench.work()
    assert bench.job(finished).state == "done"


def test_a_worker_gives_a_sign_of_life(bench: Workbench, finished: str, tmp_path: Path) -> None:
    assert not is_alive(bench.settings)
    with worker(bench):
        wait_for_end(bench, finished)
        assert is_alive(bench.settings)
