"""A day of calibrations through one server and k workers, event by event. Pure.

::

    arrival ─► upload (one line for all, first come first served)
                  └─► the sums ─► the eigenproblems and the report ─► published
                        └─ on k workers, publications first, then first come first served ─┘

Sums begin when the upload ends; a real worker sums while gradients arrive, so the waits here are
longer than real ones.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from statistics import median, quantiles


@dataclass(frozen=True)
class Kind:
    """A kind of calibration.

    Attributes:
        name: what it is called.
        share: of all calibrations.
        upload: seconds of the server's line.
        summing: seconds of a worker.
        solving: seconds of a worker, eigenproblems and report.
    """

    name: str
    share: float
    upload: float
    summing: float
    solving: float


@dataclass(frozen=True)
class Day:
    """What a day was like. A wait is for free workers, in seconds, a calibration's together.

    Attributes:
        workers: how many.
        busy: share of the workers' time, from the first arrival to the last publication.
        half: the median wait.
        most: the wait that 95 of 100 do not exceed.
        over: hours from the end of arrivals to the last publication.
    """

    workers: int
    busy: float
    half: float
    most: float
    over: float


def arrivals(
    kinds: Sequence[Kind], mean: float, seconds: float, seed: int
) -> list[tuple[float, Kind]]:
    """Poisson arrivals: about `mean` of them in so many seconds, each of a random kind."""
    generator, now, found = random.Random(seed), 0.0, []
    while (now := now + generator.expovariate(mean / seconds)) < seconds:
        (kind,) = generator.choices(kinds, [kind.share for kind in kinds])
        found.append((now, kind))
    return found


def uploaded(coming: Sequence[tuple[float, Kind]]) -> Iterator[tuple[float, Kind]]:
    """When each upload has ended: they share one line."""
    free = 0.0
    for now, kind in coming:
        free = max(free, now) + kind.upload
        yield free, kind


def simulate(coming: Sequence[tuple[float, Kind]], workers: int) -> Day:
    """The day of these arrivals with so many workers."""
    ready = list(uploaded(coming))
    order = count()  # so that what comes at the same time stays in order
    events = [(now, next(order), "upload", place) for place, (now, _) in enumerate(ready)]
    heapq.heapify(events)
    waiting: list[tuple[int, int, int]] = []  # publications (0) before sums (1)
    idle, busy, waits, now = workers, 0.0, [], 0.0
    while events:
        now, _, what, place = heapq.heappop(events)
        if what != "upload":
            idle += 1
        if what == "solved":
            ended, kind = ready[place]
            waits.append(max(0.0, now - ended - kind.summing - kind.solving))
        else:
            heapq.heappush(waiting, (int(what == "upload"), next(order), place))
        while idle and waiting:
            first, _, place = heapq.heappop(waiting)
            kind = ready[place][1]
            seconds, ends = (kind.summing, "summed") if first else (kind.solving, "solved")
            idle, busy = idle - 1, busy + seconds
            heapq.heappush(events, (now + seconds, next(order), ends, place))
    began, last = coming[0][0], coming[-1][0]
    return Day(
        workers=workers,
        busy=busy / (workers * (now - began)),
        half=median(waits),
        most=quantiles(waits, n=20)[-1],
        over=(now - last) / 3600,
    )
