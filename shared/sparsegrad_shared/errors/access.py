"""Errors of who asks."""

from __future__ import annotations

from .root import SparseGradError


class Unauthenticated(SparseGradError):
    """No token, or one that is not known, has expired or was revoked."""

    status = 401
    title = "Not authenticated"


class Forbidden(SparseGradError):
    """Something that this token may not do, or a name that this server does not answer to."""

    status = 403
    title = "Forbidden"
