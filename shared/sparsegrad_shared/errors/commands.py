"""Errors of the command line itself."""

from __future__ import annotations

from .root import SparseGradError


class WrongUsage(SparseGradError):
    """A command that cannot be carried out as it was written."""

    status = 400
    title = "Wrong usage"


class NotConfirmed(SparseGradError):
    """A question that was answered with no."""

    title = "Not confirmed"


class Interrupted(SparseGradError):
    """Ctrl-C."""

    title = "Interrupted"


class FileRefused(SparseGradError):
    """A file or folder that the operating system does not let us use."""

    title = "File refused"


class Unforeseen(SparseGradError):
    """An error that nobody put in words: a bug of ours, most likely."""

    title = "Unforeseen error"
