"""Uploads over a raw socket, which stop where a test wants them to."""

from __future__ import annotations

import socket

import httpx

from sparsegrad_shared.digests import content_digest
from sparsegrad_shared.framing import Frame

from .calibrations import Calibration
from .service import Service


def connect(service: Service) -> socket.socket:
    """A connection to the server."""
    url = httpx.URL(service.url)
    return socket.create_connection((url.host, url.port), timeout=30)


def begin_slowly(calibration: Calibration, index: int, body: Frame) -> socket.socket:
    """An upload of which nothing but the head is sent; returns once the server reads the body."""
    sender = connect(calibration.service)
    lines = [
        f"PUT /v1/calibrations/{calibration.id}/gradients/up/{index} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        "Expect: 100-continue",
        f"Authorization: {calibration.client.headers['Authorization']}",
        f"Content-Length: {body.size}",
        f"Content-Digest: {content_digest(body.digest())}",
    ]
    sender.sendall("\r\n".join([*lines, "", ""]).encode())
    assert b" 100 " in sender.recv(4096)
    return sender


def rest_of(sender: socket.socket) -> bytes:
    """What the server still answers, until it closes the connection."""
    return b"".join(iter(lambda: sender.recv(65536), b""))
