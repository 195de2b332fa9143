"""What a failure of the database means to whoever asked for something."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from sparsegrad_shared.errors import Overloaded, SparseGradError, StorageFull, Unavailable

_BUSY_SECONDS = 1.0
_GONE_SECONDS = 2.0  # what a database takes to start again, or so
# SQLSTATE, PostgreSQL's appendix A.
_DISK_FULL = "53100"
_BUSY = ("55P03", "40P01")  # waited too long for a lock; one of two that waited for one another


def problem_of(error: SQLAlchemyError) -> SparseGradError | None:
    """The error that a client may see; None for a fault of our own.

    A transaction that failed so was undone, or, if the connection was lost just as it ended, may
    have been done: the same request again finds out.
    """
    match error:
        case DBAPIError() if isinstance(error.orig, sqlite3.Error):
            return _of_sqlite(str(error.orig))
        case OperationalError() if getattr(error.orig, "sqlstate", None) == _DISK_FULL:
            return StorageFull("the disk of the server's catalog is full")
        case OperationalError() if getattr(error.orig, "sqlstate", None) in _BUSY:
            return _busy()
        case OperationalError() | InterfaceError() | PoolTimeout():
            return Unavailable(
                "the server's catalog does not answer at this moment; come again",
                retry_after=_GONE_SECONDS,
            )
    return None


def _of_sqlite(message: str) -> SparseGradError | None:
    if "disk is full" in message:
        return StorageFull("the disk of the server's catalog is full")
    if "database is locked" in message:
        return _busy()
    return None


def _busy() -> Overloaded:
    return Overloaded("the server's catalog is busy; come again", retry_after=_BUSY_SECONDS)
