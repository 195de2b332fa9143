"""A gradient that arrives as the sums before it come to their end is not forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.side_by_side import begun
from support.workbench import Workbench, decaying, group_of, manifest_of

from sparsegrad_server.catalog import calibrations, gradients
from sparsegrad_server.catalog.gradients import Arrival, Slot
from sparsegrad_server.jobs import queue
from sparsegrad_server.jobs.accumulate import accumulate
from sparsegrad_server.jobs.executors import executor_of
from sparsegrad_server.jobs.work import Monitor, Work

GROUP = group_of(gradients=2, held_out=0)  # too small to be summed before the last has come
LEASE = timedelta(seconds=60)


@pytest.fixture
def bench(tmp_path: Path, catalog_url: str) -> Iterator[Workbench]:
    bench = Workbench(tmp_path / "data", catalog_url=catalog_url)
    yield bench
    bench.catalog.close()


def leased_work(bench: Workbench) -> Work:
    """The next job, as a worker has it at hand."""
    with bench.catalog.writing() as session:
        lease = queue.claim(session, "worker", datetime.now(UTC), LEASE)
    assert lease is not None
    monitor = Monitor(bench.catalog, lease, threading.Event(), lambda _phase: None)
    executor = executor_of(bench.settings)
    return Work(
        lease, bench.catalog, bench.gradients, bench.bases, bench.settings, monitor, executor
    )


def test_an_upload_that_ends_as_the_job_ends_is_summed_or_asks_for_another_job(
    bench: Workbench,
) -> None:
    calibration = bench.open(manifest_of([GROUP]))
    bench.store(calibration, GROUP, 0, decaying(0))
    work = leased_work(bench)
    slot = Slot(calibration, GROUP.name, 1)
    bench.gradients.write(calibration, GROUP, 1, decaying(1))
    with bench.catalog.writing() as session:
        arrival = Arrival("sha256:1", "dense", zero=False, bytes=384, count=1, zero_count=0)
        now = datetime.now(UTC)
        gradients.reserve(session, slot, arrival, "upload", now, LEASE)
    with bench.catalog.writing() as session:
        calibrations.share(session, calibration)
        gradients.held(session, slot, "upload").state = "stored"
        queue.request_accumulation(session, calibration)  # a job runs: it will see the gradient
        session.flush()
        with begun(lambda: accumulate(work)) as summing:
            session.commit()
            summing.result(timeout=60)
    assert work.partials.gradients(GROUP.name) == 2
