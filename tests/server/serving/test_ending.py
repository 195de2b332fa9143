"""A server that is asked to stop finishes what it has begun, and loses nothing that it said."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from support.gradients import dense_frame, open_calibration, put
from support.serving import Serving, until

from sparsegrad_server.auth import tokens
from sparsegrad_shared.digests import content_digest, digest_of
from sparsegrad_shared.errors import Stopping
from sparsegrad_shared.jobs import JOB_EVENT

BODY = b"".join(dense_frame(1))
HALF = len(BODY) // 2


def begin_upload(serving: Serving, calibration: str) -> socket.socket:
    """Send the head and half of the body of the gradient for slot 1."""
    address = urlsplit(serving.url)
    digest = content_digest(digest_of([BODY]))
    head = (
        f"PUT /v1/calibrations/{calibration}/gradients/up/1 HTTP/1.1\r\n"
        f"Host: {address.netloc}\r\nAuthorization: Bearer {serving.token()}\r\n"
        f"Content-Length: {len(BODY)}\r\nContent-Digest: {digest}\r\n\r\n"
    )
    connection = socket.create_connection((str(address.hostname), int(address.port or 0)))
    connection.settimeout(120)
    connection.sendall(head.encode() + BODY[:HALF])
    with serving.client("*", "metrics") as prometheus:
        assert until(lambda: "sparsegrad_uploads_active 1.0" in prometheus.get("/metrics").text)
    return connection


def refuses_connections(serving: Serving) -> bool:
    try:
        httpx.get(f"{serving.url}/livez", timeout=60)
    except httpx.ConnectError:
        return True
    return False


def test_it_says_so_first_then_takes_nothing_new_then_finishes_the_uploads(
    tmp_path: Path,
) -> None:
    with Serving(tmp_path / "data", drain_seconds=600) as serving, serving.client() as client:
        calibration = open_calibration(client)
        assert put(client, calibration, 0, dense_frame(0)).status_code == 201
        upload = begin_upload(serving, calibration)
        assert client.get("/readyz").status_code == 200

        serving.ask_to_stop()
        assert until(lambda: client.get("/readyz").status_code == 503)
        assert client.get("/readyz").json()["type"] == Stopping.type_uri()
        assert client.get("/livez").status_code == 200
        assert client.get(f"/v1/calibrations/{calibration}").status_code == 200

        serving.ask_to_stop()  # drains no longer
        assert until(lambda: refuses_connections(serving))
        with upload:
            upload.sendall(BODY[HALF:])
            assert upload.recv(65536).startswith(b"HTTP/1.1 201 ")
        assert serving.process.wait(120) == 0
        assert not any("ERROR" in line for line in serving.log.lines)
    with Serving(tmp_path / "data") as again, again.client() as client:
        groups = client.get(f"/v1/calibrations/{calibration}").json()["groups"]
        assert groups[0]["arrived"] == [0, 1]


def test_what_does_not_finish_in_time_is_cut_off_and_can_be_sent_again(tmp_path: Path) -> None:
    with Serving(tmp_path / "data", grace_seconds=0.5) as serving, serving.client() as client:
        calibration = open_calibration(client)
        with begin_upload(serving, calibration) as upload:
            serving.ask_to_stop()
            assert serving.process.wait(120) == 0
            assert not upload.recv(65536).startswith(b"HTTP/1.1 2")
    with Serving(tmp_path / "data") as again, again.client() as client:
        status = client.get(f"/v1/calibrations/{calibration}").json()
        assert status["groups"][0]["arrived"] == []
        assert put(client, calibration, 1, BODY).status_code == 201


def test_a_stream_of_events_ends_cleanly_and_asks_to_come_again(tmp_path: Path) -> None:
    with Serving(tmp_path / "data") as serving, serving.client() as client:
        calibration = open_calibration(client)
        assert put(client, calibration, 0, dense_frame(0)).status_code == 201
        job = client.post(f"/v1/calibrations/{calibration}/finish").json()["id"]
        with client.stream("GET", f"/v1/jobs/{job}/events") as events:
            lines = events.iter_lines()
            assert next(lines) == f"event: {JOB_EVENT}"
            serving.ask_to_stop()
            rest = list(lines)  # whole: chunked transfer would say so otherwise
        assert "retry: 1000" in rest
        assert serving.process.wait(120) == 0


def test_the_last_use_of_tokens_is_written_at_the_end(tmp_path: Path) -> None:
    with Serving(tmp_path / "data") as serving:
        began = datetime.now(UTC)
        with serving.client() as client:
            assert client.get("/v1/bases").status_code == 200
        idle = serving.token()
        serving.ask_to_stop()
        assert serving.process.wait(120) == 0
        with serving.catalog.reading() as session:
            used, unused = (tokens.status(row) for row in tokens.every(session))
            assert tokens.find(session, tokens.digest_of(idle), began).token_id == unused.id
    assert unused.last_used is None
    assert used.last_used is not None
    assert began <= used.last_used <= datetime.now(UTC)
