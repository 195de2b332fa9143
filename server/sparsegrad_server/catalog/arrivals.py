"""What has arrived of a calibration, counted by the database: however many rows there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, func, select, text
from sqlalchemy.orm import Session

from sparsegrad_shared.calibrations import GroupSpec

from .tables import GradientRow


@dataclass(frozen=True)
class Arrivals:
    """What has arrived of one group.

    Attributes:
        name: the group's name.
        fitted: gradients that its basis is fitted on.
        fitted_expected: how many of them there will be.
        held_out: gradients that it is judged on.
        held_out_expected: how many of them there will be.
        bytes: of all bodies.
        zero: how many are zero throughout.
    """

    name: str
    fitted: int
    fitted_expected: int
    held_out: int
    held_out_expected: int
    bytes: int
    zero: int

    @property
    def stored(self) -> int:
        """Gradients that have arrived."""
        return self.fitted + self.held_out

    @property
    def expected(self) -> int:
        """Gradients that there will be."""
        return self.fitted_expected + self.held_out_expected


def count_arrivals(
    session: Session, calibration_id: str, groups: Sequence[GroupSpec]
) -> tuple[Arrivals, ...]:
    """What has arrived of each group, in their order."""
    counted = select(
        GradientRow.group,
        _is_held_out(groups).label("judged"),
        func.count(),
        func.sum(GradientRow.bytes),
        func.count().filter(GradientRow.zero),
    ).where(GradientRow.calibration_id == calibration_id, GradientRow.state == "stored")
    found = {
        (group, bool(judged)): (number, int(size), zero)
        for group, judged, number, size, zero in session.execute(
            counted.group_by(GradientRow.group, text("judged"))
        )
    }
    nothing = (0, 0, 0)
    arrivals = []
    for group in groups:
        fitted, judged = (found.get((group.name, side), nothing) for side in (False, True))
        arrivals.append(
            Arrivals(
                name=group.name,
                fitted=fitted[0],
                fitted_expected=group.gradients,
                held_out=judged[0],
                held_out_expected=group.held_out,
                bytes=fitted[1] + judged[1],
                zero=fitted[2] + judged[2],
            )
        )
    return tuple(arrivals)


def totals(session: Session, calibration_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """How many gradients are stored of each calibration, and their bytes; those that have any."""
    counted = select(GradientRow.calibration_id, func.count(), func.sum(GradientRow.bytes)).where(
        GradientRow.calibration_id.in_(calibration_ids), GradientRow.state == "stored"
    )
    rows = session.execute(counted.group_by(GradientRow.calibration_id))
    return {name: (number, int(size)) for name, number, size in rows}


def _is_held_out(groups: Sequence[GroupSpec]) -> ColumnElement[bool]:
    """Whether a slot is behind those that its group is fitted on; most groups have as many."""
    bounds = {group.name: group.gradients for group in groups}
    if len(set(bounds.values())) == 1:
        return GradientRow.index >= next(iter(bounds.values()))
    return GradientRow.index >= case(bounds, value=GradientRow.group)
