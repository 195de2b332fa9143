"""Workers that die, stall or run out of disk: the next one goes on, and nobody writes twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from support.faults.campaign import await_until, environment_of
from support.faults.processes import Killable, command
from support.mounts import mounted
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_server.catalog.tables import JobRow, VersionRow
from sparsegrad_server.store.files import free_bytes, tree

# Large enough that a job takes a second or more when every partial sum is kept.
GROUP = group_of(d_out=200, d_in=120, gradients=30, held_out=1)
SUM_BYTES = 8 * (GROUP.d_out**2 + GROUP.d_in**2)
DISK_BYTES = 48 << 20
HASTE = {"lease_seconds": 1.0, "poll_seconds": 0.05, "partial_seconds": 0.0}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    bench = Workbench(tmp_path / "data", **HASTE)
    yield bench
    bench.catalog.close()


@pytest.fixture
def workers(bench: Workbench, tmp_path: Path) -> Iterator[list[Killable]]:
    """Worker processes of this test, which appends what it starts."""
    started: list[Killable] = []
    yield started
    for worker in started:
        worker.kill()


def start(bench: Workbench, workers: list[Killable], log: Path) -> Killable:
    worker = Killable("worker", log, command, ["worker"], environment_of(bench.settings))
    workers.append(worker)
    return worker


def job_row(bench: Workbench, job: str) -> JobRow:
    with bench.catalog.reading() as session:
        return session.get_one(JobRow, job)


def summed(bench: Workbench) -> int:
    """Gradients in the furthest partial sum."""
    names = (path.name.partition("-") for path in tree(bench.settings.partial_folder))
    return max((int(count) for count, dash, _ in names if dash and count.isdigit()), default=0)


def assert_published_once(bench: Workbench, job: str) -> str:
    """The job is done, its basis whole, and it is the only one; its digest."""
    basis = bench.job(job).basis
    assert basis is not None
    bench.bases.verify(basis.digest)
    with bench.catalog.reading() as session:
        assert [row.digest for row in session.scalars(select(VersionRow))] == [basis.digest]
    assert list(bench.bases.digests()) == [basis.digest]
    return basis.digest


def finished(bench: Workbench) -> tuple[str, str]:
    """A calibration with all its gradients, and the job of its finish."""
    calibration = bench.open(manifest_of([GROUP]))
    bench.store_all(calibration, GROUP)
    return calibration, bench.finish(calibration)


def test_the_successor_of_a_dead_worker_goes_on_from_the_partial_sum(
    bench: Workbench, workers: list[Killable], tmp_path: Path
) -> None:
    calibration, job = finished(bench)
    first = start(bench, workers, tmp_path / "first.log")
    await_until(lambda: summed(bench) >= 10, "nothing was summed")
    first.kill()
    assert job_row(bench, job).state == "leased"
    # Gone from the store, and in the sum alone: whoever began anew would miss it.
    bench.gradients.discard(calibration, GROUP.name, 1, "dense")
    start(bench, workers, tmp_path / "second.log")
    await_until(lambda: job_row(bench, job).state in ("done", "failed"), "the job is stuck")
    assert job_row(bench, job).state == "done"
    assert_published_once(bench, job)


def test_a_worker_that_stalled_beyond_its_lease_changes_nothing_any_more(
    bench: Workbench, workers: list[Killable], tmp_path: Path
) -> None:
    _, job = finished(bench)
    first = start(bench, workers, tmp_path / "first.log")
    await_until(lambda: summed(bench) >= 5, "nothing was summed")
    first.send(signal.SIGSTOP)
    stalled = job_row(bench, job)
    start(bench, workers, tmp_path / "second.log")
    await_until(lambda: job_row(bench, job).state == "done", "nobody took the job over")
    ended = job_row(bench, job)
    assert ended.fence > stalled.fence
    first.send(signal.SIGCONT)
    await_until(lambda: "has ended" in first.output or "by now" in first.output, first.output)
    now = job_row(bench, job)
    assert (now.state, now.fence, now.updated) == ("done", ended.fence, ended.updated)
    assert_published_once(bench, job)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of some megabytes."""
    with mounted(tmp_path / "disk", DISK_BYTES) as folder:
        yield folder


def test_a_full_disk_costs_a_worker_a_rest_and_nothing_is_lost(
    workers: list[Killable], small_disk: Path, tmp_path: Path
) -> None:
    bench = Workbench(small_disk / "data", **HASTE)
    _, job = finished(bench)
    filler = small_disk / "filler"
    # Some room for the catalog's rows, and none for a partial sum.
    filler.write_bytes(bytes(free_bytes(small_disk) - SUM_BYTES // 2))
    worker = start(bench, workers, tmp_path / "worker.log")
    await_until(lambda: "No space left" in worker.output, "the disk was not full")
    filler.unlink()
    await_until(lambda: job_row(bench, job).state in ("done", "failed"), "the job is stuck")
    assert job_row(bench, job).state == "done"
    digest = assert_published_once(bench, job)
    bench.catalog.close()
    undisturbed = Workbench(tmp_path / "undisturbed").publish(manifest_of([GROUP])).basis
    assert undisturbed is not None
    assert digest == undisturbed.digest
