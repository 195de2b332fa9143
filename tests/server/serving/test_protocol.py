"""Connections that dawdle, or send too much: raw sockets against a real server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import pairwise

import pytest
from support.calibrations import Calibration, begin
from support.gradients import dense_frame, manifest, put
from support.service import Service, running
from support.slow_uploads import begin_slowly, connect, rest_of

from sparsegrad_server.serving.protocol import HEAD_BYTES
from sparsegrad_shared.digests import content_digest
from sparsegrad_shared.framing import Frame

MIB = 1 << 20


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A server that waits for no head, and for no rest of a body, for long."""
    with running(tmp_path_factory.mktemp("impatient") / "data", head_seconds=0.5) as service:
        yield service


@pytest.fixture
def calibration(impatient: Service) -> Iterator[Calibration]:
    with impatient.client() as client:
        yield begin(impatient, client)


def request(calibration: Calibration, index: int, body: Frame, *more: str) -> bytes:
    lines = [
        f"PUT /v1/calibrations/{calibration.id}/gradients/up/{index} HTTP/1.1",
        "Host: localhost",
        f"Authorization: {calibration.client.headers['Authorization']}",
        f"Content-Length: {body.size}",
        f"Content-Digest: {content_digest(body.digest())}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(connection: socket.socket) -> int:
    """The status of the next answer on a connection that stays open."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(1)
    head = received.decode().lower()
    length = int(head.partition("content-length:")[2].split()[0])
    while length:
        length -= len(connection.recv(length))
    return int(head.split()[1])


@pytest.mark.parametrize("begun", [b"", b"G", b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_head_that_does_not_end_is_answered_and_cut_off(impatient: Service, begun: bytes) -> None:
    with connect(impatient) as connection:
        connection.sendall(begun)
        assert rest_of(connection).startswith(b"HTTP/1.1 408 ")


def test_a_second_head_that_does_not_end_is_cut_off_as_well(impatient: Service) -> None:
    with connect(impatient) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer(connection) == 200
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost:")
        assert rest_of(connection).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Huge: " + b"a" * (HEAD_BYTES + 1) + b"\r\n\r\n",
        b"GET /livez?" + b"a" * (HEAD_BYTES + 1) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + b"X-Many: a\r\n" * (HEAD_BYTES // 7) + b"\r\n",
    ],
)
def test_a_huge_head_is_refused(impatient: Service, head: bytes) -> None:
    with connect(impatient) as connection:
        connection.sendall(head)
        assert rest_of(connection).startswith(b"HTTP/1.1 431 ")


def test_what_is_no_http_is_refused(impatient: Service) -> None:
    with connect(impatient) as connection:
        connection.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        assert rest_of(connection).startswith(b"HTTP/1.1 400 ")


def test_a_body_that_comes_slowly_is_no_slow_head(calibration: Calibration) -> None:
    with begin_slowly(calibration, 1, dense_frame(1)) as sender:
        with connect(calibration.service) as other:  # a head's time passes
            assert rest_of(other).startswith(b"HTTP/1.1 408 ")
        sender.sendall(b"".join(dense_frame(1)))
        assert b" 201 " in rest_of(sender).splitlines()[0]
    calibration.assert_intact(0, 1)


def test_the_rest_of_a_refused_body_is_not_waited_for(calibration: Calibration) -> None:
    other = dense_frame(7)
    with connect(calibration.service) as connection:
        connection.sendall(request(calibration, 0, other))  # the slot is taken
        assert answer(connection) == 409
        assert rest_of(connection) == b""  # closed, though nothing more was sent
    calibration.assert_intact()


def test_a_connection_goes_on_after_the_rest_of_a_refused_body(calibration: Calibration) -> None:
    refused, good = dense_frame(7), dense_frame(1)
    with connect(calibration.service) as connection:
        connection.sendall(request(calibration, 0, refused))
        assert answer(connection) == 409
        connection.sendall(b"".join(refused) + request(calibration, 1, good) + b"".join(good))
        assert answer(connection) == 201
    calibration.assert_intact(0, 1)


def test_requests_that_come_all_at_once_are_answered_one_by_one(calibration: Calibration) -> None:
    frames = {index: dense_frame(index) for index in range(1, 5)}
    everything = b"".join(
        request(calibration, index, body) + b"".join(body) for index, body in frames.items()
    )
    with connect(calibration.service) as connection:
        connection.sendall(everything)
        assert [answer(connection) for _ in frames] == [201] * 4
    calibration.assert_intact(0, 1, 2, 3, 4)


@pytest.mark.parametrize("memory", [0, 64 * MIB])
def test_large_bodies_arrive_bit_for_bit_in_memory_and_by_way_of_the_disk(
    tmp_path_factory: pytest.TempPathFactory, memory: int
) -> None:
    shape = {"d_out": 1000, "d_in": 700}
    body = dense_frame(1, **shape)
    cuts = [0, 1, 100, 65_536, MIB + 1, 2 * MIB, body.size - 1, body.size]
    content = b"".join(body)
    folder = tmp_path_factory.mktemp("large") / "data"
    with running(folder, upload_memory_bytes=memory) as service, service.client() as client:
        opened = client.post("/v1/calibrations", json=manifest(**shape)).json()["id"]
        calibration = Calibration(opened, client, service)
        with connect(service) as connection:
            connection.sendall(request(calibration, 1, body, "Expect: 100-continue"))
            assert b" 100 " in connection.recv(4096)
            for begin_at, end in pairwise(cuts):
                connection.sendall(content[begin_at:end])
            assert answer(connection) == 201
            connection.sendall(request(calibration, 1, body) + content)
            assert answer(connection) == 200
        assert calibration.arrived() == [1]
        group = calibration.group.model_copy(update=shape)
        found = service.store.read(opened, group, 1, "dense")["G"]
        assert found.tobytes() == bytes(body.tensors["G"].data)
        assert list(service.settings.staging_folder.iterdir()) == []


def test_a_client_that_goes_in_the_middle_leaves_its_place_to_the_next(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("gone") / "data"
    with running(folder, max_concurrent_uploads=1) as service, service.client() as client:
        calibration = begin(service, client)
        with begin_slowly(calibration, 1, dense_frame(1)) as sender:
            sender.sendall(b"".join(dense_frame(1))[:100])
            sender.shutdown(socket.SHUT_WR)
            assert rest_of(sender) == b""  # the server has noticed
        assert put(client, calibration.id, 1, dense_frame(1)).status_code == 201
        calibration.assert_intact(0, 1)
