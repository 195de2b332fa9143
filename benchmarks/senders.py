"""How the clients of `ingest.py` send gradients: by a bare socket, or by the client library."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import ml_dtypes
import numpy as np
from hosvd import gradients

from sparsegrad_shared.digests import content_digest
from sparsegrad_shared.framing import DType, Frame, RawTensor

DISTINCT = 4  # gradients that a client makes, then sends in turns


@dataclass(frozen=True)
class Load:
    """What one run sends: `count` gradients of a shape, by each of `clients` processes."""

    d_out: int
    d_in: int
    dtype: DType
    clients: int
    count: int
    client: str

    @property
    def sent(self) -> int:
        """Gradients in all."""
        return self.clients * self.count


@dataclass(frozen=True)
class Target:
    """Where a client sends to: one group, from slot `first` on."""

    url: str
    token: str
    calibration: str
    first: int


def frames(load: Load) -> list[Frame]:
    """A few gradients as training gives them."""
    numpy_type = ml_dtypes.bfloat16 if load.dtype == "bfloat16" else np.dtype(load.dtype)
    arrays = [G.astype(numpy_type) for G in gradients(DISTINCT, load.d_out, load.d_in)]
    shape = (load.d_out, load.d_in)
    return [
        Frame({"G": RawTensor(load.dtype, shape, memoryview(array.view(np.uint8)).cast("B"))})
        for array in arrays
    ]


def send_by_socket(load: Load, target: Target) -> Iterator[None]:
    """Send bodies that lie ready; yields once before the first."""
    bodies = [(b"".join(frame), content_digest(frame.digest())) for frame in frames(load)]
    address = urlsplit(target.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        yield
        for number in range(load.count):
            body, digest = bodies[number % DISTINCT]
            path = f"/v1/calibrations/{target.calibration}/gradients/up/{target.first + number}"
            lines = [
                f"PUT {path} HTTP/1.1",
                f"Host: {address.netloc}",
                f"Authorization: Bearer {target.token}",
                f"Content-Length: {len(body)}",
                f"Content-Digest: {digest}",
            ]
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            connection.sendall(body)
            status, text = _answer(connection)
            assert status == 201, text


def _answer(connection: socket.socket) -> tuple[int, bytes]:
    """The status and body of the next answer, which is one of known length."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(next(iter(re.findall(rb"(?i)content-length: *(\d+)", head)), b"0"))
    while len(body) < length:
        body += _some(connection)
    return int(head.split(b" ", 2)[1]), body


def _some(connection: socket.socket) -> bytes:
    received = connection.recv(65536)
    if not received:
        raise ConnectionError("the server closed the connection")
    return received


def send_by_library(load: Load, target: Target) -> Iterator[None]:
    """Send as the client library does; yields once before the first."""
    from sparsegrad_client.service import BasisService

    made = frames(load)
    with BasisService(target.url, target.token) as service:
        yield
        for number in range(load.count):
            frame = made[number % DISTINCT]
            service.put_gradient(target.calibration, "up", target.first + number, frame)
