"""Which groups are computed side by side, and on how many threads each. Pure.

Linear algebra on several threads gains little where the matrices are small: there it is better to
compute one group a thread. The number of threads changes the last bits of an eigenproblem, so it
follows from the groups and the worker's threads alone; the memory, which may be another one at
every attempt, decides only how many groups run at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from sparsegrad_shared.calibrations import GroupSpec, HosvdOptions
from sparsegrad_shared.errors import JobFailed

from ...hosvd import estimate_calibration

GIB = 1 << 30
SMALL_SIDE = 2048  # rows; beyond, two threads are as good as two groups
# Of a small group's time, the share that more threads do not shorten (Amdahl): measured 1.6 times
# on 2 threads at 1536 × 384.
SERIAL_SHARE = 0.25


@dataclass(frozen=True)
class GroupNeed:
    """What a group takes.

    Attributes:
        name: the group's.
        side: rows of its larger Gram matrix.
        memory_bytes: at its peak.
        seconds: from its first gradient to its report, on the worker's threads.
    """

    name: str
    side: int
    memory_bytes: int
    seconds: float


@dataclass(frozen=True)
class Wave:
    """Groups that are computed before the next wave begins.

    Attributes:
        groups: their places in the manifest, rising; computed in this order.
        lanes: how many of them at once.
        threads: of linear algebra, for each.
    """

    groups: tuple[int, ...]
    lanes: int
    threads: int


def needs_of(groups: Sequence[GroupSpec], options: HosvdOptions) -> list[GroupNeed]:
    """What each group takes, by the estimate that a calibration is opened with."""
    estimates = [estimate_calibration([group], options) for group in groups]
    return [
        GroupNeed(group.name, max(group.d_out, group.d_in), told.memory_bytes, told.seconds)
        for group, told in zip(groups, estimates, strict=True)
    ]


def told(needs: Sequence[GroupNeed], lanes: int) -> str:
    """The estimate, in words, before anything has begun."""
    return (
        f"planned for about {sum(need.seconds for need in needs):.0f} s of one worker, "
        f"{max(need.memory_bytes for need in needs) / GIB:.1f} GiB for the largest group, "
        f"{min(lanes, len(needs))} of {len(needs)} groups at once"
    )


def check_memory(needs: Sequence[GroupNeed], memory: int, where: str) -> None:
    """Hold every group to the memory that there is.

    Raises:
        JobFailed: when one needs more; says what to do.
    """
    for need in needs:
        if need.memory_bytes > memory:
            raise JobFailed(
                f"group {need.name} needs about {need.memory_bytes / GIB:.1f} GiB of memory, and "
                f"{where} may use {memory / GIB:.1f} GiB: ask for a rank, which needs less, or "
                "give workers more memory (SPARSEGRAD_WORKER_MEMORY_BYTES), then finish the "
                "calibration again; what is summed stays"
            )


def plan_groups(needs: Sequence[GroupNeed], memory: int, threads: int) -> list[Wave]:
    """Waves that hold each group once, and never more at once than the memory holds.

    Args:
        needs: what each group takes, in the manifest's order.
        memory: bytes that all groups at once may take.
        threads: of linear algebra, in all.

    Raises:
        JobFailed: when one group alone needs more memory than that.
    """
    check_memory(needs, memory, "the worker")
    small = [place for place, need in enumerate(needs) if need.side <= SMALL_SIDE]
    if not _pays(len(small), threads):
        small = []
    large = [place for place in range(len(needs)) if place not in small]
    waves = [Wave((place,), lanes=1, threads=threads) for place in large]
    if small:
        lanes = min(threads, fitting([needs[place].memory_bytes for place in small], memory))
        waves.append(Wave(tuple(small), lanes, threads=1))
    return waves


def fitting(bytes_each: Sequence[int], memory: int) -> int:
    """How many fit at once, whichever they are: the largest are counted."""
    return sum(total <= memory for total in accumulate(sorted(bytes_each, reverse=True)))


def _pays(groups: int, threads: int) -> bool:
    """Whether so many small groups are done sooner side by side than one after another."""
    speed_up = 1 / (SERIAL_SHARE + (1 - SERIAL_SHARE) / threads)
    return min(groups, threads) > speed_up
