"""Transactions that outlast a database that is away for a while: restarted, failed over, full.

A job may have computed for hours when its database goes. Its lease is a row, and nobody else can
take the job before the database is back either: so the job waits, and goes on. Whoever did take it
meanwhile has a higher fence, and the first transaction that succeeds says so (`LeaseLost`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError

FIRST_REST_SECONDS = 0.1  # doubled with each further failure
LONGEST_REST_SECONDS = 5.0
OUTAGE_SECONDS = 900.0  # after which the job is left to its lease, and to another worker

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


def patiently(transact: Callable[[], Result], stop: threading.Event) -> Result:
    """Do a whole transaction, again and again while the database cannot be reached.

    A commit whose answer was lost is done twice: the transaction has to notice, as those of a
    lease do (what ended is not held any more), or be the same twice.

    Args:
        transact: opens a session, does its work, commits.
        stop: once it is set there is no more waiting.

    Raises:
        OperationalError: when the database is away for too long, or `stop` is set.
        InterfaceError: likewise.
    """
    ends, rest = time.monotonic() + OUTAGE_SECONDS, FIRST_REST_SECONDS
    while True:
        try:
            return transact()
        except (OperationalError, InterfaceError) as error:
            _log.warning("the catalog cannot be used, trying again: %s", error.orig)
            if time.monotonic() + rest > ends or stop.wait(rest):
                raise
            rest = min(2 * rest, LONGEST_REST_SECONDS)
