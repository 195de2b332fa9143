"""The executor past one machine: the tasks run on the workers of a Dask cluster.

::

    gradients ─► partial sums, a task a slice ─► merged by a tree ─► the block's sum ─┐
    partial sum on disk ◄──────────────── added here, block by block ◄────────────────┘
            │
            ├─ A_in  ─► U ─┐
            └─ A_out ─► V ─┴─► report and float32 basis ─► published here

Tasks read gradients from the store that their own worker's settings name. What came back is kept
on disk as the local executor does, so whatever is lost, a worker or the scheduler with all it knew,
only what was under way is computed again.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from distributed import Client, Future

from sparsegrad_shared.calibrations import GroupSpec

from ...catalog.tables import GradientRow
from ...hosvd import GramMatrices
from ...hosvd.basis import check_any
from ...settings import Settings
from ..gradients import Steps, StoredGradient
from ..judging import Judged
from ..summing import fitted, held_out, running_sum
from ..work import Work
from . import tasks
from .base import Executor, GroupResult, Take
from .cluster import (
    ClusterLost,
    connect,
    disconnect,
    least_memory,
    result_of,
    send,
    submit,
    wait_for,
)
from .lanes import in_lanes
from .memory import worker_memory
from .plan import check_memory, fitting, needs_of, told
from .slices import blocks, tree, whole_blocks

BLOCKS_AHEAD = 2  # of a group, on the cluster at once
MOST_LANES = 16  # groups at once
RETRY_SECONDS = 1.0  # after the cluster was lost

_log = logging.getLogger(__name__)


class DaskExecutor(Executor):
    """Computes on a Dask cluster, which it connects to when it first has something to do.

    Args:
        settings: the scheduler's address, and the certificate to show.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None

    def summable(self, group: GroupSpec, run: Sequence[GradientRow]) -> Sequence[GradientRow]:
        """Whole blocks, or all when no more will come."""
        return run if len(run) == group.gradients else run[: whole_blocks(len(run))]

    def sum(self, work: Work, group: GroupSpec, rows: Sequence[GradientRow]) -> None:
        """Sum block by block."""
        self._persistently(work, lambda client: _sum(client, work, group, rows, work.monitor))

    def compute(self, work: Work, take: Take) -> None:
        """Compute the groups side by side; those that are done stay so if the cluster is lost."""
        done: set[str] = set()
        self._persistently(work, lambda client: _compute_all(client, work, take, done))

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            disconnect(self._client)
            self._client = None

    def _persistently(self, work: Work, act: Callable[[Client], object]) -> None:
        """Do it, again after every loss of the cluster, for as long as the lease is ours."""
        while True:
            try:
                if self._client is None:
                    work.monitor.step("connecting to the Dask scheduler", 0, 1)
                    self._client = connect(self._settings)
                _await_workers(self._client, work)
                act(self._client)
            except ClusterLost as lost:
                _log.warning("job %s: %s", work.lease.job_id, lost)  # its addresses are not for all
                work.monitor.say("warning", "the Dask cluster was lost: connecting to it anew")
                self.close()
                work.monitor.wait(RETRY_SECONDS)
            else:
                return


def _await_workers(client: Client, work: Work) -> None:
    """Wait until there is a worker, and hold the groups to the memory of the smallest one."""
    needs = needs_of(work.manifest.groups, work.manifest.options)
    while (memory := least_memory(client)) is None:
        work.monitor.step("waiting for Dask workers", 0, 1)
        work.monitor.wait(RETRY_SECONDS)
    check_memory(needs, memory, "a Dask worker")


def _compute_all(client: Client, work: Work, take: Take, done: set[str]) -> None:
    groups = [group for group in work.manifest.groups if group.name not in done]
    needs = needs_of(groups, work.manifest.options)
    # Here a group takes its sum, a block's sum on its way, and the result.
    sizes = [3 * 8 * (group.d_out**2 + group.d_in**2) for group in groups]
    lanes = min(MOST_LANES, max(1, fitting(sizes, worker_memory(work.settings))))
    estimate = told(needs, lanes)
    work.monitor.say("info", estimate)
    work.monitor.step(estimate, 0, len(groups), parts=())
    taking = threading.Lock()
    work.partials  # noqa: B018 - made before there are several threads, since making it sweeps

    def compute(place: int, steps: Steps) -> None:
        group = groups[place]
        result = _compute(client, work, group, steps)
        with taking:
            steps.step(f"writing {group.name}", 0, 1)
            take(group, result)
            done.add(group.name)

    in_lanes([group.name for group in groups], lanes, work.monitor, compute)


def _compute(client: Client, work: Work, group: GroupSpec, steps: Steps) -> GroupResult:
    rows = work.rows(group)
    gram = _sum(client, work, group, fitted(group, rows), steps)
    check_any(gram)
    options = work.manifest.options
    sums = gram.count, gram.zero_count, float(gram.A_in.trace())
    sides = tuple(
        submit(client, tasks.side, send(client, A), options.rank, options.energy)
        for A in (gram.A_in, gram.A_out)
    )
    del gram
    judged = Judged.of(fitted(group, rows), held_out(group, rows))
    future = submit(client, tasks.judged_result, work.calibration_id, group, judged, sides, sums)
    for solved, pairs in enumerate(sides):
        wait_for(pairs, steps, f"solving U and V of {group.name}", solved, 2)
    result: GroupResult = result_of(future, steps, f"judging of {group.name}", 0, 1)
    return result


def _sum(
    client: Client, work: Work, group: GroupSpec, rows: Sequence[GradientRow], steps: Steps
) -> GramMatrices:
    phase = f"summing gradients of {group.name}"
    with running_sum(work, group, rows) as running:
        waiting = blocks([StoredGradient.of(row) for row in rows[running.gradients :]])
        under_way: deque[tuple[int, Future[GramMatrices]]] = deque()
        while waiting or under_way:
            while waiting and len(under_way) < BLOCKS_AHEAD:
                block = waiting.pop(0)
                count = sum(len(part) for part in block)
                under_way.append((count, _submit_block(client, work, group, block)))
            count, future = under_way.popleft()
            gram = result_of(future, steps, phase, running.gradients, len(rows))
            running.gram.merge(gram)
            running.advance(count)
        return running.gram


def _submit_block(
    client: Client, work: Work, group: GroupSpec, block: Sequence[tuple[StoredGradient, ...]]
) -> Future[GramMatrices]:
    normalize = work.manifest.options.normalize
    slices = [
        submit(client, tasks.partial_sum, work.calibration_id, group, normalize, part)
        for part in block
    ]
    return tree(slices, lambda left, right: submit(client, tasks.merged, left, right))
