"""Requests as bytes on a socket: no library between the case and the server puts them right."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass

from .tally import DEADLINE_SECONDS

CLOSED = "closed"
SILENT = "silent"


@dataclass(frozen=True)
class Answer:
    """What came back: a status, or `closed`, or `silent` when nothing had come by the deadline."""

    status: int | str
    seconds: float
    headers: dict[str, str]
    body: bytes

    @property
    def is_problem(self) -> bool:
        """Whether it is an error as all of them should look."""
        return self.headers.get("content-type", "").startswith("application/problem+json")


def head(method: str, target: str | bytes, headers: Iterable[tuple[str, str]]) -> bytes:
    """The head of a request, as given; what is no latin-1 goes as UTF-8."""
    raw = target if isinstance(target, bytes) else target.encode("utf-8", "surrogatepass")
    lines = [method.encode() + b" " + raw + b" HTTP/1.1"]
    lines += [f"{name}: {value}".encode("utf-8", "surrogatepass") for name, value in headers]
    return b"\r\n".join([*lines, b"", b""])


def exchange(
    address: tuple[str, int], pieces: Iterable[bytes], *, half_close: bool = False
) -> Answer:
    """Send bytes on a new connection, piece by piece, and wait for the answer.

    Args:
        address: of the server.
        pieces: what to send; the generator may wait between two.
        half_close: whether to say that no more will come.
    """
    began = time.monotonic()
    with socket.create_connection(address, timeout=DEADLINE_SECONDS) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it may refuse before it has heard all; the answer is there nevertheless
        return _read(connection, began)


def _read(connection: socket.socket, began: float) -> Answer:
    response = http.client.HTTPResponse(connection, method="GET")
    status: int | str
    headers: dict[str, str] = {}
    body = b""
    try:
        response.begin()
        status = response.status
        headers = {name.lower(): value for name, value in response.getheaders()}
        body = response.read()
    except TimeoutError:
        status = SILENT
    except (OSError, http.client.HTTPException):
        status = CLOSED if response.status is http.client._UNKNOWN else response.status  # type: ignore[attr-defined]
    finally:
        response.close()
    return Answer(status, time.monotonic() - began, headers, body)
