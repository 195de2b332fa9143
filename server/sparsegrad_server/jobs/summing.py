"""Summing the Gram matrices of a group, gradient by gradient, rising by index.

The order is always the same, whatever order the gradients arrived in and however often a worker
died, so the same gradients give the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sparsegrad_shared.calibrations import GroupSpec
from sparsegrad_shared.errors import SparseGradError

from ..catalog.tables import GradientRow
from ..hosvd import GramMatrices
from . import queue
from .gradients import Steps, StoredGradient
from .partial import PartialSum
from .work import Interrupted, Work

MOST_WAITING = 16  # gradients that wait for others to come before they are summed together


def fitted(group: GroupSpec, rows: Sequence[GradientRow]) -> list[GradientRow]:
    """Those of a group's stored gradients that its basis is fitted on."""
    return [row for row in rows if row.index < group.gradients]


def held_out(group: GroupSpec, rows: Sequence[GradientRow]) -> list[GradientRow]:
    """Those of a group's stored gradients that its basis is judged on."""
    return [row for row in rows if row.index >= group.gradients]


def leading_run(rows: Sequence[GradientRow]) -> list[GradientRow]:
    """The gradients before the first slot that is still empty; more may yet come behind them."""
    gap = next((place for place, row in enumerate(rows) if row.index != place), len(rows))
    return list(rows[:gap])


def is_worth_summing(group: GroupSpec, run: Sequence[GradientRow], summed: int) -> bool:
    """Whether to sum the gradients of `run` beyond the first `summed` now, or to await more.

    A partial sum is read and written each time, and may be far larger than a gradient: sum when
    as many bytes wait, or `MOST_WAITING` gradients, or when no more will come.
    """
    waiting = run[summed:]
    if not waiting or len(run) == group.gradients:
        return bool(waiting)
    sum_bytes = 8 * (group.d_in**2 + group.d_out**2)
    return len(waiting) >= MOST_WAITING or sum(row.bytes for row in waiting) >= sum_bytes


def sum_group(
    work: Work, group: GroupSpec, rows: Sequence[GradientRow], steps: Steps
) -> GramMatrices:
    """The Gram matrices of `rows`, from the furthest partial sum on; the result is kept as one.

    Args:
        work: the job.
        group: the group.
        rows: stored gradients, rising by index.
        steps: where to tell how far it is.

    Raises:
        CorruptFile: when a gradient cannot be read; names it.
        Stopped: when the worker shall stop; what was summed is kept.
        LeaseLost: when the job is another worker's by now.
    """
    gradients = work.gradients_of(group)
    with running_sum(work, group, rows) as running:
        for row in rows[running.gradients :]:
            steps.step(f"summing gradients of {group.name}", running.gradients, len(rows))
            gradients.add_to(running.gram, StoredGradient.of(row))
            running.advance(1)
        return running.gram


class RunningSum:
    """A partial sum under way, kept on disk from time to time.

    Args:
        work: the job.
        group: the group.
        rows: stored gradients, rising by index; the sum is of so many leading ones.
    """

    def __init__(self, work: Work, group: GroupSpec, rows: Sequence[GradientRow]) -> None:
        empty = GramMatrices(group.d_out, group.d_in, normalize=work.manifest.options.normalize)
        self._partial = work.partials.load(group.name, rows) or PartialSum(empty)
        self._work, self._group, self._rows = work, group, rows
        if self.gradients and work.lease.kind == "publish":
            kept = f"{self.gradients} of {len(rows)} gradients of {group.name}"
            work.monitor.say("info", f"{kept} were summed already: going on from there")
        self._kept, self._kept_at = self.gradients, time.monotonic()

    @property
    def gram(self) -> GramMatrices:
        """The sum."""
        return self._partial.gram

    @property
    def gradients(self) -> int:
        """How many gradients are in it."""
        return self._partial.gradients

    def advance(self, count: int) -> None:
        """So many more gradients are in the sum; kept if it is time for it."""
        self._partial.gradients += count
        if time.monotonic() - self._kept_at >= self._work.settings.partial_seconds:
            self.keep()

    def keep(self) -> None:
        """Bring the sum to the disk, if there is anything new in it."""
        if self.gradients > self._kept:
            self._work.partials.save(self._group.name, self._rows, self._partial)
            self._work.write(lambda session: queue.advance(session, self._work.lease))
        self._kept, self._kept_at = self.gradients, time.monotonic()


@contextmanager
def running_sum(work: Work, group: GroupSpec, rows: Sequence[GradientRow]) -> Iterator[RunningSum]:
    """The furthest partial sum of the leading `rows`, kept at the end, also of what was cut short.

    Not after any other error: it may have come in the middle of an addition, or of a lost lease.
    """
    running = RunningSum(work, group, rows)
    try:
        yield running
    except (Interrupted, SparseGradError):
        running.keep()
        raise
    running.keep()
