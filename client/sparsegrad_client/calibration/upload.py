"""Gradients sent in the background while the next step computes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from sparsegrad_shared.framing import Frame

from ..service import BasisService

QUEUE_BYTES = 512 * 1024 * 1024  # frames that wait or are under way; a larger one goes alone
CONNECTIONS = 4

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class _Item:
    group: str
    index: int
    frame: Frame


class Uploader:
    """A bounded queue of gradients, and threads that send them.

    As a context manager it waits at its end until all is sent; when an error or Ctrl-C ends it,
    what still waits is dropped (the server knows what arrived), what is under way is finished,
    and nothing is tried again.

    Args:
        service: where to.
        calibration: the calibration's id.
        queue_bytes: bytes that may wait or be under way.
        connections: uploads at once.
    """

    def __init__(
        self,
        service: BasisService,
        calibration: str,
        *,
        queue_bytes: int = QUEUE_BYTES,
        connections: int = CONNECTIONS,
    ) -> None:
        self._service = service
        self._calibration = calibration
        self._queue_bytes = queue_bytes
        self._changed = threading.Condition()
        self._waiting: deque[_Item] = deque()
        self._bytes = 0
        self._error: BaseException | None = None
        self._closing = False
        self._sent = 0
        self._sent_away = 0
        self._threads = [
            threading.Thread(target=self._work, name=f"upload-{i}", daemon=True)
            for i in range(connections)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.drain()
        finally:
            self._stop()

    def put(self, group: str, index: int, frame: Frame) -> None:
        """Queue a gradient; waits while the queue is full.

        Raises:
            SparseGradError: what ended an earlier upload.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or self._has_room(frame))
            self._raise_error()
            self._waiting.append(_Item(group, index, frame))
            self._bytes += frame.size
            self._changed.notify_all()

    def drain(self, report: Report = lambda sent, sent_away: None) -> None:
        """Wait until everything is sent; raises as `put` does.

        Args:
            report: told how many gradients are on the server's disk, and how many wait because the
                server is busy, whenever that changes.
        """
        with self._changed:
            while self._bytes and self._error is None:
                report(self._sent, self._sent_away)
                self._changed.wait()
            self._raise_error()
            report(self._sent, self._sent_away)

    def _has_room(self, frame: Frame) -> bool:
        return self._bytes == 0 or self._bytes + frame.size <= self._queue_bytes

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _stop(self) -> None:
        with self._changed:
            self._closing = True
            if self._bytes:
                self._waiting.clear()
                self._service.stop_waiting()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (item := self._next()) is not None:
            try:
                self._service.put_gradient(
                    self._calibration, item.group, item.index, item.frame, on_busy=self._busy
                )
            except BaseException as error:  # noqa: BLE001 - raised again in the training thread
                self._finished(item, error)
            else:
                self._finished(item, None)

    def _busy(self, waiting: bool) -> None:
        with self._changed:
            self._sent_away += 1 if waiting else -1
            self._changed.notify_all()

    def _next(self) -> _Item | None:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._closing or self._error or self._waiting))
            if self._closing or self._error:
                return None
            return self._waiting.popleft()

    def _finished(self, item: _Item, error: BaseException | None) -> None:
        with self._changed:
            self._bytes -= item.frame.size
            if error is None:
                self._sent += 1
            elif self._error is None:
                self._error = error
            self._changed.notify_all()
