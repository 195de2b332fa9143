"""How good a basis is on gradients that it was not fitted on: the report of a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsegrad_shared.report import GroupReport

from ..catalog.tables import GradientRow
from ..hosvd import Basis, HeldOutReport, frozen_support, spectrum_summary
from .gradients import Gradients, Steps, StoredGradient

SAMPLE = 8  # fitted gradients that the frozen support of the report is chosen on


@dataclass(frozen=True)
class Judged:
    """The gradients that a group's basis is judged on.

    Attributes:
        sample: fitted ones, which the report's frozen support is chosen on.
        unseen: held-out ones.
    """

    sample: tuple[StoredGradient, ...]
    unseen: tuple[StoredGradient, ...]

    @classmethod
    def of(cls, fitted: Sequence[GradientRow], held_out: Sequence[GradientRow]) -> Judged:
        """Those of a group's rows; sums over many are no gradients and left out."""
        single = [StoredGradient.of(row) for row in fitted if row.form != "sums"]
        apart = max(1, -(-len(single) // SAMPLE))
        unseen = [StoredGradient.of(row) for row in held_out if row.form != "sums"]
        return cls(tuple(single[::apart]), tuple(unseen))


def judge(
    gradients: Gradients, judged: Judged, basis: Basis, steps: Steps
) -> tuple[GroupReport, NDArray[np.float32], NDArray[np.float32]]:
    """The report of a group, on its bases as they are published: in float32.

    Returns:
        The report, and U and V in float32.

    Raises:
        SparseGradError: when a gradient cannot be used; names it.
    """
    U, V = basis.U.astype(np.float32), basis.V.astype(np.float32)

    def each(chosen: Sequence[StoredGradient], phase: str) -> Iterator[NDArray[Any]]:
        for done, gradient in enumerate(chosen):
            steps.step(f"{phase} of {gradients.group.name}", done, len(chosen))
            yield gradients.dense(gradient)

    support = None
    if judged.sample and judged.unseen:
        support = frozen_support(each(judged.sample, "choosing a support"), U, V)
    held_out = HeldOutReport(U, V, support=support)
    for G in each(judged.unseen, "judging"):
        held_out.add(G)
    group = gradients.group
    report = held_out.report(
        group.name,
        spectrum_summary(basis.eigenvalues_in, energy=basis.energy, dimension=group.d_in),
        spectrum_summary(basis.eigenvalues_out, energy=basis.energy, dimension=group.d_out),
    )
    return report, U, V
