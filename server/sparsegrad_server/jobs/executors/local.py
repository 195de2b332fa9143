"""The default executor: in the worker's own process."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from threadpoolctl import threadpool_limits

from sparsegrad_shared.calibrations import GroupSpec

from ...catalog.tables import GradientRow
from ...hosvd import compute_basis
from ..gradients import Steps
from ..judging import Judged, judge
from ..summing import fitted, held_out, sum_group
from ..work import Work
from .base import Executor, GroupResult, Take
from .lanes import in_lanes
from .memory import worker_memory
from .plan import GIB, needs_of, plan_groups, told


class LocalExecutor(Executor):
    """Sums gradient by gradient, rising by index; groups side by side where that pays."""

    def summable(self, group: GroupSpec, run: Sequence[GradientRow]) -> Sequence[GradientRow]:
        """All of them: one is added after another in any case."""
        return run

    def sum(self, work: Work, group: GroupSpec, rows: Sequence[GradientRow]) -> None:
        """Sum gradient by gradient."""
        sum_group(work, group, rows, work.monitor)

    def compute(self, work: Work, take: Take) -> None:
        """Compute wave after wave, as `plan_groups` has them."""
        groups, options = work.manifest.groups, work.manifest.options
        needs, memory = needs_of(groups, options), worker_memory(work.settings)
        threads = work.settings.worker_threads
        waves = plan_groups(needs, memory, threads)
        estimate = told(needs, max(wave.lanes for wave in waves))
        work.monitor.say("info", f"{estimate}; {memory / GIB:.1f} GiB are free")
        work.monitor.step(estimate, 0, len(groups), parts=())
        taking = threading.Lock()
        work.partials  # noqa: B018 - made before there are several threads, since making it sweeps

        for wave in waves:
            chosen = [groups[place] for place in wave.groups]

            def compute(place: int, steps: Steps, chosen: list[GroupSpec] = chosen) -> None:
                result = _compute(work, chosen[place], steps)
                with taking:
                    steps.step(f"writing {chosen[place].name}", 0, 1)
                    take(chosen[place], result)

            with threadpool_limits(wave.threads):
                in_lanes([group.name for group in chosen], wave.lanes, work.monitor, compute)


def _compute(work: Work, group: GroupSpec, steps: Steps) -> GroupResult:
    rows = work.rows(group)
    gram = sum_group(work, group, fitted(group, rows), steps)
    count, zero_count = gram.count, gram.zero_count
    steps.step(f"solving U and V of {group.name}", 0, 1)
    options = work.manifest.options
    basis = compute_basis(gram, rank=options.rank, energy=options.energy)
    del gram  # its matrices are no longer needed, and the largest things in memory
    judged = Judged.of(fitted(group, rows), held_out(group, rows))
    report, U, V = judge(work.gradients_of(group), judged, basis, steps)
    return GroupResult(
        U=U,
        V=V,
        eigenvalues_in=basis.eigenvalues_in,
        eigenvalues_out=basis.eigenvalues_out,
        count=count,
        zero_count=zero_count,
        report=report,
    )
