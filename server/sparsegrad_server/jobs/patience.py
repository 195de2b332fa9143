"""Acts that outlast a database or object storage that is away: restarted, failed over, full.

A job may have computed for hours when what it needs goes. Its lease is a row, and nobody else can
take the job before the database is back either, nor get further while the storage is away: so the
job waits, and goes on; it has used up no attempt. Whoever did take it meanwhile has a higher fence,
and the first transaction that succeeds says so (`LeaseLost`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError

from ..store.objects import StorageUnreachable

FIRST_REST_SECONDS = 0.1  # doubled with each further failure
LONGEST_REST_SECONDS = 5.0
OUTAGE_SECONDS = 900.0  # after which the job is left to its lease, and to another worker

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


def patiently(act: Callable[[], Result], stop: threading.Event) -> Result:
    """Do something, again and again while the database or object storage cannot be reached.

    What was done but for its answer is done twice: a transaction has to notice, as those of a
    lease do (what ended is not held any more), or be the same twice.

    Args:
        act: a whole transaction, or one reading or writing of the store; short, if all goes well.
        stop: once it is set there is no more waiting.

    Raises:
        OperationalError: when the database is away for too long, or `stop` is set.
        InterfaceError: likewise.
        StorageUnreachable: likewise, of object storage.
    """
    ends, rest = time.monotonic() + OUTAGE_SECONDS, FIRST_REST_SECONDS
    while True:
        try:
            return act()
        except (OperationalError, InterfaceError, StorageUnreachable) as error:
            _log.warning("trying again: %s", _told(error))
            if time.monotonic() + rest > ends or stop.wait(rest):
                raise
            rest = min(2 * rest, LONGEST_REST_SECONDS)


def _told(error: OperationalError | InterfaceError | StorageUnreachable) -> str:
    if isinstance(error, StorageUnreachable):
        return str(error)
    return f"the catalog cannot be used: {error.orig}"
