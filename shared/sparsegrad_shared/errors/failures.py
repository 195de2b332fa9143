"""Errors of the parts themselves: a job, a server, a file, an installation, a process."""

from __future__ import annotations

from .root import SparseGradError


class JobFailed(SparseGradError):
    """A job that ended in an error."""

    title = "Job failed"


class ServerUnreachable(SparseGradError):
    """No answer came from the server."""

    status = 503
    title = "Server unreachable"


class ServerFault(SparseGradError):
    """A fault of the server's own."""

    title = "Internal server error"


class MissingExtra(SparseGradError):
    """A part of SparseGrad that is not installed."""

    title = "Not installed"


class CorruptFile(SparseGradError):
    """A file whose bytes are not those that were once written."""

    title = "Corrupt file"


class WrongBasis(SparseGradError):
    """An adapter put on a basis other than the one it was trained on."""

    title = "Wrong basis"


class RankFailed(SparseGradError):
    """Another process of the same run failed, or answers no more."""

    title = "Another rank failed"
