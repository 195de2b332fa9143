"""The job that sums gradients while they arrive, so that little is left after the finish."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from sparsegrad_shared.calibrations import GroupSpec

from ..catalog import calibrations, gradients
from ..catalog.tables import GradientRow
from . import queue
from .summing import fitted, is_worth_summing, leading_run
from .work import Work


def accumulate(work: Work) -> None:
    """Sum what is worth summing, until nothing is; a finished calibration is left to `publish`.

    Raises:
        SparseGradError: when a gradient cannot be used; names it.
        Stopped: when the worker shall stop.
        LeaseLost: when the job is another worker's by now.
    """
    while not _completed(work):
        for group in work.manifest.groups:
            run = _summable(work, group, work.rows(group))
            if is_worth_summing(group, run, work.partials.gradients(group.name)):
                work.executor.sum(work, group, run)


def _completed(work: Work) -> bool:
    """End the job unless something waits; decided in one transaction, so nothing is missed."""

    def decide(session: Session) -> bool:
        # An upload that ends now asks for the job's row: before this look, or after the job's end.
        queue.held(session, work.lease)
        row = calibrations.get(session, work.calibration_id)
        if row.state == "open" and any(_waits(work, session, g) for g in work.manifest.groups):
            return False
        queue.complete(session, work.lease, datetime.now(UTC))
        return True

    return work.write(decide)


def _waits(work: Work, session: Session, group: GroupSpec) -> bool:
    rows = gradients.stored(session, work.calibration_id, group.name)
    run = _summable(work, group, rows)
    return is_worth_summing(group, run, work.partials.gradients(group.name))


def _summable(work: Work, group: GroupSpec, rows: Sequence[GradientRow]) -> Sequence[GradientRow]:
    return work.executor.summable(group, leading_run(fitted(group, rows)))
