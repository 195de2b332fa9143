"""HTTP/1.1 as uvicorn speaks it over httptools, with what it leaves out.

* A head has a deadline and a size: whoever sends it byte by byte, or without an end, is cut off.
* So has the rest of a body that nobody wants any more, once its request is answered.
* A body can go straight from the socket into memory that the app names, through the extension
  `BODY_INTO` of the ASGI scope: no copies, and no messages but one a megabyte. Each of them passes
  all layers of the app, which takes longer than the copying.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..ingest.body import BODY_INTO

HEAD_BYTES = 64 * 1024
READ_BYTES = 256 * 1024
PIECE_BYTES = 1 << 20

# One for all connections: what is read is handed on before another connection reads.
_shared = memoryview(bytearray(READ_BYTES))


class HeadTooLarge(Exception):
    """Ends the parsing of a head."""


class Delivery:
    """One request's body on its way to the app.

    Args:
        cycle: uvicorn's part of it.
        resume: has the socket read again.
    """

    def __init__(self, cycle: RequestResponseCycle, resume: Callable[[], None]) -> None:
        self._cycle = cycle
        self._resume = resume
        self._ordinary = cycle.receive
        self._target: memoryview | None = None
        self._handed = 0
        self._filled = 0
        self._size = 0

    def into(self, target: memoryview | None) -> None:
        """Have the whole body written to `target`; it must have the body's size.

        What `receive` answers from now on are views of `target`, in order and without a gap. With
        None nothing is written there any more: what is still to come is read and forgotten.
        """
        self._target = target
        if target is None:
            return
        came = self._cycle.body
        self._size = len(target)
        self._filled = len(came)
        target[: self._filled] = came
        self._cycle.body = bytearray()

    @property
    def bypasses(self) -> bool:
        """Whether the rest of the body is read without the parser."""
        return self._filled < self._size

    def buffer(self) -> memoryview:
        """Where the next bytes go; only while it bypasses the parser."""
        end = min(self._size, self._filled + PIECE_BYTES)
        if self._target is None:
            return _shared[: end - self._filled]
        return self._target[self._filled : end]

    def advance(self, count: int) -> None:
        """So many bytes have come."""
        self._filled += count
        if self._filled - self._handed >= PIECE_BYTES:
            self._cycle.message_event.set()

    async def receive(self) -> ASGIReceiveEvent:
        """The next message, as uvicorn's `receive` answers it."""
        cycle = self._cycle
        if self._target is None or self._handed == self._size:
            return await self._ordinary()
        if cycle.waiting_for_100_continue:
            cycle.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        if cycle.more_body and self._filled - self._handed < PIECE_BYTES:
            cycle.message_event.clear()
            if not cycle.disconnected:
                self._resume()
                await cycle.message_event.wait()
        if cycle.disconnected:
            return {"type": "http.disconnect"}
        piece = self._target[self._handed : self._filled]
        self._handed = self._filled
        # ASGI says bytes; whoever asked for views gets views.
        return {"type": "http.request", "body": piece, "more_body": cycle.more_body}  # type: ignore[typeddict-item]


class Protocol(HttpToolsProtocol, asyncio.BufferedProtocol):
    """One connection.

    Args:
        arguments: uvicorn's.
        head_seconds: time from a connection's start, or a request's first byte, to the end of the
            request's head; and from an answer to the end of a body that it did not wait for.
    """

    def __init__(self, *, head_seconds: float, **arguments: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(**arguments)
        self._head_seconds = head_seconds
        self._head_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._delivery: Delivery | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection is there; a head has to follow."""
        super().connection_made(transport)
        self._start_timer(self._refuse, HTTPStatus.REQUEST_TIMEOUT)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._stop_timer()
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        delivery = self._delivery
        return delivery.buffer() if delivery is not None and delivery.bypasses else _shared

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come there."""
        delivery = self._delivery
        if delivery is None or not delivery.bypasses:
            self.data_received(bytes(_shared[:nbytes]))
            return
        delivery.advance(nbytes)
        if not delivery.bypasses:
            # The parser stands within the body, which it has not seen the end of.
            self.parser = httptools.HttpRequestParser(self)
            self.on_message_complete()

    def on_message_begin(self) -> None:
        """The first byte of a head has come."""
        super().on_message_begin()
        self._head_bytes = 0
        if self._timer is None:
            self._start_timer(self._refuse, HTTPStatus.REQUEST_TIMEOUT)

    def on_url(self, url: bytes) -> None:
        """A part of the target has come."""
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header has come."""
        self._count(name, value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._stop_timer()
        super().on_headers_complete()
        self._delivery = Delivery(self.cycle, self.flow.resume_reading)
        self.cycle.receive = self._delivery.receive  # type: ignore[method-assign]
        self.scope["extensions"] = {BODY_INTO: {"deliver": self._delivery.into}}

    def on_message_complete(self) -> None:
        """A request is whole."""
        super().on_message_complete()
        if self.cycle.response_complete:
            self._stop_timer()
        self.cycle.more_body = False

    def on_response_complete(self) -> None:
        """A request is answered, whether or not all of it has come."""
        if self.cycle.more_body and not self.pipeline:
            self._start_timer(self.transport.close)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, unless it was answered already."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def _count(self, *parts: bytes) -> None:
        self._head_bytes += sum(map(len, parts))
        if self._head_bytes > HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            raise HeadTooLarge

    def _start_timer(self, action: Callable[..., None], *arguments: HTTPStatus) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self._head_seconds, action, *arguments)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer a head that cannot be waited for any longer, and close."""
        self._stop_timer()
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            "connection: close",
            "content-length: 0",
        ]
        self.transport.write("\r\n".join([*lines, "", ""]).encode())
        self.transport.close()
