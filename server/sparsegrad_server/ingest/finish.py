"""The end of a calibration: no more gradients, and a job for its basis."""

from __future__ import annotations

from sqlalchemy.orm import Session

from sparsegrad_shared.errors import NoGradients

from ..catalog import calibrations, gradients
from ..catalog.tables import CalibrationRow, JobRow
from ..jobs.queue import enqueue_publish


def finish(session: Session, row: CalibrationRow) -> JobRow:
    """Close a calibration and queue its publication, in the caller's writing transaction.

    What is stored by now counts; an upload that is still under way is refused at its end. A
    second finish answers the same job, which starts anew if it had failed.

    Raises:
        CalibrationClosed: when it has expired before it was finished.
        NoGradients: when a group has none to fit a basis on; names the groups.
    """
    row = calibrations.take(session, row.id)
    if row.job_id is None:
        calibrations.check_not_expired(row)
    if row.state == "open":
        groups = calibrations.manifest_of(row).groups
        fits = gradients.can_be_fitted
        empty = [group.name for group in groups if not fits(session, row.id, group)]
        if empty:
            raise NoGradients(
                f"calibration {row.id}: no gradient but zeros has arrived to fit on in "
                f"{', '.join(empty)}; send some, then finish again"
            )
        row.state = "finished"
    job = enqueue_publish(session, row.id)
    row.job_id = job.id
    return job
