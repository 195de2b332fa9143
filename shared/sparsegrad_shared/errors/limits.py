"""Errors of how much, how often and when: limits, and what is away at this moment."""

from __future__ import annotations

from .root import SparseGradError


class BodyTooLarge(SparseGradError):
    """A body over the limit."""

    status = 413
    title = "Body too large"


class QuotaExceeded(SparseGradError):
    """More bytes than the namespace may hold."""

    status = 413
    title = "Quota exceeded"


class Overloaded(SparseGradError):
    """More at once, or more often, than the server takes."""

    status = 429
    title = "Too many requests"


class Unavailable(SparseGradError):
    """Something that the server needs does not answer: its catalog, or its storage."""

    status = 503
    title = "Not available at this moment"


class Stopping(SparseGradError):
    """A server that was asked to stop."""

    status = 503
    title = "Server is stopping"


class BodyTimeout(SparseGradError):
    """A body that came too slowly."""

    status = 408
    title = "Body took too long"


class StorageFull(SparseGradError):
    """Less free disk than the server's floor."""

    status = 507
    title = "Insufficient storage"
