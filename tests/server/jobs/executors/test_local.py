"""The local executor: how many groups run at once is the memory's matter, and no bit's."""

from __future__ import annotations

from pathlib import Path

from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_server.jobs.executors.plan import needs_of, plan_groups
from sparsegrad_shared.jobs import JobStatus

GROUPS = [group_of(name, d_out=160, d_in=120, gradients=3, held_out=1) for name in ("up", "down")]
MANIFEST = manifest_of(GROUPS)
SMALL, LARGE = 2 << 20, 1 << 30  # bytes: of one group at once, and of both


def published(folder: Path, memory: int) -> JobStatus:
    bench = Workbench(folder, worker_threads=2, worker_memory_bytes=memory)
    calibration = bench.open(MANIFEST)
    for group in GROUPS:
        bench.store_all(calibration, group)
    job = bench.finish(calibration)
    bench.work()
    return bench.job(job)


def test_groups_in_turn_for_want_of_memory_have_the_digest_of_groups_side_by_side(
    tmp_path: Path,
) -> None:
    needs = needs_of(MANIFEST.groups, MANIFEST.options)
    assert [plan_groups(needs, memory, 2)[0].lanes for memory in (SMALL, LARGE)] == [1, 2]
    in_turn, at_once = (
        published(tmp_path / str(memory), memory).basis for memory in (SMALL, LARGE)
    )
    assert in_turn is not None
    assert at_once is not None
    assert in_turn.digest == at_once.digest
