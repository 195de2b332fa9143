"""What a Dask worker does: pure functions over gradients that it reads from its own store.

A task names a calibration, a group and indices. Where the gradients lie is in the settings of the
process that runs the task (`SPARSEGRAD_…` in its environment); no path comes over the network.
What a task is given belongs to other tasks too, and is not changed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache

from threadpoolctl import threadpool_limits

from sparsegrad_shared.calibrations import GroupSpec, Normalization

from ...hosvd import Basis, Eigenpairs, GramMatrices, leading_eigenvectors
from ...hosvd.arrays import Float64Array
from ...settings import Settings
from ...store.gradients import GradientStore
from ...store.open import open_stores
from ..gradients import Gradients, StoredGradient
from ..judging import Judged, judge
from ..patience import patiently
from .base import GroupResult


def partial_sum(
    calibration_id: str,
    group: GroupSpec,
    normalize: Normalization,
    gradients: Sequence[StoredGradient],
) -> GramMatrices:
    """The Gram matrices of a slice of a group's gradients, added in the order given.

    Raises:
        SparseGradError: when one cannot be used; names it.
    """
    total = GramMatrices(group.d_out, group.d_in, normalize=normalize)
    stored = _gradients(calibration_id, group)
    with threadpool_limits(_settings().worker_threads):
        for gradient in gradients:
            stored.add_to(total, gradient)
    return total


def merged(left: GramMatrices, right: GramMatrices) -> GramMatrices:
    """The sum of two partial sums."""
    total = GramMatrices(left.d_out, left.d_in, normalize=left.normalize)
    total.merge(left)
    total.merge(right)
    return total


def side(A: Float64Array, rank: int | None, energy: float | None) -> Eigenpairs:
    """One side of a basis: the leading eigenvectors of A_in or of A_out."""
    with threadpool_limits(_settings().worker_threads):
        return leading_eigenvectors(A, rank=rank, energy=energy)


def judged_result(
    calibration_id: str,
    group: GroupSpec,
    judged: Judged,
    sides: tuple[Eigenpairs, Eigenpairs],
    sums: tuple[int, int, float],
) -> GroupResult:
    """A group's result, from its two sides.

    Args:
        calibration_id: whose gradients to judge on.
        group: the group.
        judged: which of its gradients.
        sides: those of A_in and of A_out.
        sums: of the Gram matrices: count, zero count, trace.

    Raises:
        SparseGradError: when a gradient cannot be used; names it.
    """
    (values_in, U), (values_out, V) = sides
    count, zero_count, energy = sums
    basis = Basis(U=U, V=V, eigenvalues_in=values_in, eigenvalues_out=values_out, energy=energy)
    with threadpool_limits(_settings().worker_threads):
        report, U32, V32 = judge(_gradients(calibration_id, group), judged, basis, _Silent())
    return GroupResult(
        U=U32,
        V=V32,
        eigenvalues_in=values_in,
        eigenvalues_out=values_out,
        count=count,
        zero_count=zero_count,
        report=report,
    )


class _Silent:
    """A task tells nothing on the way: it ends, or its worker dies."""

    def step(self, phase: str, completed: int, total: int) -> None:
        pass


def _gradients(calibration_id: str, group: GroupSpec) -> Gradients:
    never = threading.Event()  # a task is not told to stop either
    return Gradients(_store(), calibration_id, group, lambda read: patiently(read, never))


@cache
def _settings() -> Settings:
    return Settings()  # from the environment


@cache
def _store() -> GradientStore:
    return open_stores(_settings()).gradients
