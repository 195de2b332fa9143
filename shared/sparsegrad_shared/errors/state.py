"""Errors of what there is: something is absent, or in a state that the request does not fit."""

from __future__ import annotations

from .root import SparseGradError


class NotFound(SparseGradError):
    """Something that is not there, or that this token may not see."""

    status = 404
    title = "Not found"


class UnknownCalibration(NotFound):
    """No calibration of that id."""

    title = "Unknown calibration"


class UnknownGroup(NotFound):
    """No such group in the calibration or the basis."""

    title = "Unknown group"


class UnknownJob(NotFound):
    """No job of that id."""

    title = "Unknown job"


class UnknownBasis(NotFound):
    """No basis under that name, version, alias or digest."""

    title = "Unknown basis"


class DeletedBasis(UnknownBasis):
    """A version or an alias that was deleted."""

    status = 410
    title = "Deleted basis"


class Conflict(SparseGradError):
    """A request that is right in itself, but not in the present state."""

    status = 409
    title = "Conflict"


class SlotTaken(Conflict):
    """Another gradient is already stored at that index."""

    title = "Another gradient is stored there"


class SlotBusy(Conflict):
    """Another upload is writing that index at this moment."""

    title = "Another upload is writing there"


class CalibrationClosed(Conflict):
    """The calibration was finished, or has expired, and takes no more gradients."""

    title = "Calibration is closed"


class VersionInUse(Conflict):
    """A version that cannot be deleted, since an alias or a pin holds it."""

    title = "Version is in use"


class NoGradients(Conflict):
    """A finish before any gradient had arrived."""

    title = "No gradients"


class PreconditionFailed(SparseGradError):
    """A compare-and-set whose comparison failed."""

    status = 412
    title = "Precondition failed"


class PreconditionRequired(SparseGradError):
    """A compare-and-set that does not say what to compare with (RFC 6585, section 3)."""

    status = 428
    title = "Precondition required"
