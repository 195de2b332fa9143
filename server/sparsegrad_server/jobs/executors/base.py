"""The contract of executors, which one suite of tests holds each of them to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsegrad_shared.calibrations import GroupSpec
from sparsegrad_shared.report import GroupReport

from ...catalog.tables import GradientRow
from ...hosvd.arrays import Float64Array
from ..work import Work


@dataclass(frozen=True)
class GroupResult:
    """A group's basis as it is published, and what is said of it.

    Attributes:
        U: D_in × r_in, float32.
        V: D_out × r_out, float32.
        eigenvalues_in: r_in, float64.
        eigenvalues_out: r_out, float64.
        count: gradients in the sums that were not zero.
        zero_count: those that were.
        report: of the held-out gradients.
    """

    U: NDArray[np.float32]
    V: NDArray[np.float32]
    eigenvalues_in: Float64Array
    eigenvalues_out: Float64Array
    count: int
    zero_count: int
    report: GroupReport


Take = Callable[[GroupSpec, GroupResult], None]


class Executor(ABC):
    """Computes the groups of calibrations."""

    @abstractmethod
    def summable(self, group: GroupSpec, run: Sequence[GradientRow]) -> Sequence[GradientRow]:
        """Those leading rows of `run` that can be summed before the others have arrived.

        Whether they are summed then, or all at once after the finish, changes no bit.

        Args:
            group: the group.
            run: its stored gradients before the first empty slot.
        """

    @abstractmethod
    def sum(self, work: Work, group: GroupSpec, rows: Sequence[GradientRow]) -> None:
        """Sum `rows`, from the furthest partial sum on, and keep the result as one.

        Args:
            work: the job.
            group: the group.
            rows: what `summable` answered.

        Raises:
            SparseGradError: when a gradient cannot be used; names it.
            Stopped: when the worker shall stop; what was summed is kept.
            LeaseLost: when the job is another worker's by now.
        """

    @abstractmethod
    def compute(self, work: Work, take: Take) -> None:
        """Sum, solve and judge every group of a finished calibration.

        Args:
            work: the job.
            take: called with each group's result, once, one call at a time, in no order.

        Raises:
            JobFailed: when there is not the memory for it; says what to do.
            SparseGradError: when a gradient cannot be used; names it.
            Stopped: when the worker shall stop; sums so far are kept.
            LeaseLost: when the job is another worker's by now.
        """

    def close(self) -> None:  # noqa: B027 - most executors hold nothing open
        """Let go of what is held open."""
