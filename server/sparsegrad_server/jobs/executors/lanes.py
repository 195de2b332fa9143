"""Several groups at once in one process: one progress, one end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Protocol

from sparsegrad_shared.errors import SparseGradError

from ..gradients import Steps
from ..work import Stopped


class JointSteps(Protocol):
    """Where several groups at once say how far they are; raises when they must not go on."""

    def step(self, phase: str, completed: int, total: int, parts: Sequence[str]) -> None:
        """Tell how far they are; `parts` has the phase of each."""


class SharedSteps:
    """The steps of several groups, told to the job's monitor as one phase.

    Args:
        monitor: the job's.
    """

    def __init__(self, monitor: JointSteps) -> None:
        self._monitor = monitor
        self._lock = threading.Lock()
        self._now: dict[str, tuple[str, int, int]] = {}
        self._failed = False

    def fail(self) -> None:
        """Have every group end at its next step, since one of them has failed."""
        self._failed = True

    def step(self, name: str, phase: str, completed: int, total: int) -> None:
        """How far one group is; with others under way, the counts of all are added up.

        Raises:
            Stopped: when another group has failed, or the worker shall stop.
            LeaseLost: when the job is another worker's by now.
        """
        with self._lock:
            if self._failed:
                raise Stopped
            self._now[name] = (phase, completed, total)
            phases, done, totals = zip(*self._now.values(), strict=True)
            if len(phases) > 1:
                phase = f"computing {len(phases)} groups at once: {'; '.join(phases)}"
            self._monitor.step(phase, sum(done), sum(totals), phases)

    def end(self, name: str) -> None:
        """A group is done."""
        with self._lock:
            self._now.pop(name, None)


class _OwnSteps:
    """One group's part of `SharedSteps`."""

    def __init__(self, shared: SharedSteps, name: str) -> None:
        self._shared = shared
        self._name = name

    def step(self, phase: str, completed: int, total: int) -> None:
        self._shared.step(self._name, phase, completed, total)


def in_lanes(
    names: Sequence[str], lanes: int, monitor: JointSteps, do: Callable[[int, Steps], None]
) -> None:
    """Call `do(place, steps)` for every name's place, as many at once as there are lanes.

    When one fails, the others end at their next step, and none is left running.

    Args:
        names: of the groups, each another one.
        lanes: how many at once.
        monitor: the job's.
        do: computes one group; calls `steps.step` often.

    Raises:
        Exception: what the first that failed has raised.
    """
    shared = SharedSteps(monitor)

    def run(place: int) -> None:
        try:
            do(place, _OwnSteps(shared, names[place]))
        except BaseException:
            shared.fail()
            raise
        finally:
            shared.end(names[place])

    with ThreadPoolExecutor(lanes, thread_name_prefix="group") as pool:
        # Each in a context of its own, so that what it logs names the job.
        futures = [pool.submit(copy_context().run, run, place) for place in range(len(names))]
        wait(futures)
    _raise_first(futures)


def _raise_first(futures: Sequence[Future[None]]) -> None:
    """Raise what went wrong first of all: those that were stopped for it say less."""
    errors = [error for future in futures if (error := future.exception()) is not None]
    errors.sort(
        key=lambda error: (isinstance(error, Stopped), not isinstance(error, SparseGradError))
    )
    for error in errors:
        raise error
