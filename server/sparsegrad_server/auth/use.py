"""When each token was last used: to the minute or so, and never in the way of a request."""

from __future__ import annotations

import logging
import threading
from datetime import datetime

from sqlalchemy import ColumnElement, or_, update
from sqlalchemy.exc import SQLAlchemyError

from ..catalog import Catalog
from ..catalog.tables import TokenRow

WRITE_SECONDS = 60.0

_log = logging.getLogger(__name__)


class TokenUse:
    """Gathers in memory, and writes once a minute, in one transaction, from a thread of its own.

    A kill loses at most that minute. What a database that is away does not take is kept for the
    next time.

    Args:
        catalog: where the tokens are.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._used: dict[str, datetime] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def note(self, token_id: str, now: datetime) -> None:
        """A token was used."""
        with self._lock:
            self._used[token_id] = now

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, and end."""
        self._ended.set()
        self._thread.join()

    def write(self) -> None:
        """Write down what was noted since the last time.

        Raises:
            SQLAlchemyError: when the catalog does not take it; it is kept.
        """
        with self._lock:
            used, self._used = self._used, {}
        if not used:
            return
        try:
            with self._catalog.writing() as session:
                for token_id, at in sorted(used.items()):  # one order: two servers may write
                    change = update(TokenRow).where(TokenRow.id == token_id, _older(at))
                    session.execute(change.values(last_used=at))
        except SQLAlchemyError:
            with self._lock:
                self._used = used | self._used
            raise

    def _keep(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(WRITE_SECONDS)
            try:
                self.write()
            except SQLAlchemyError:
                _log.exception("the last use of tokens could not be written")


def _older(at: datetime) -> ColumnElement[bool]:
    return or_(TokenRow.last_used.is_(None), TokenRow.last_used < at)
