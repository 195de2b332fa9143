"""The background upload: bounded, prompt with errors, quick to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpx
import pytest

from sparsegrad_client.calibration.upload import Uploader
from sparsegrad_client.service import BasisService
from sparsegrad_shared.errors import NonFiniteGradient, ServerUnreachable
from sparsegrad_shared.framing import Frame, RawTensor

FRAME = Frame({"G": RawTensor("float32", (16, 16), memoryview(bytes(1024)))})
SECONDS = 60.0


def _service(handler: Callable[[httpx.Request], httpx.Response]) -> BasisService:
    return BasisService("https://team.example", transport=httpx.MockTransport(handler))


def _stored(request: httpx.Request) -> httpx.Response:
    group, index = request.url.path.split("/")[-2:]
    stored = {"group": group, "index": int(index), "digest": "d", "form": "dense", "zero": False}
    return httpx.Response(201, json=stored)


def test_everything_is_sent_once_and_reported() -> None:
    indices: list[str] = []
    reports: list[tuple[int, int]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        indices.append(request.url.path.split("/")[-1])
        return _stored(request)

    with _service(handle) as service, Uploader(service, "c1") as uploader:
        for index in range(20):
            uploader.put("up", index, FRAME)
        uploader.drain(lambda *report: reports.append(report))
    assert sorted(map(int, indices)) == list(range(20))
    assert reports == sorted(reports)
    assert reports[-1] == (20, 0)


def test_a_full_queue_holds_the_training_back_until_a_gradient_is_stored() -> None:
    under_way, release = threading.Event(), threading.Event()
    queued: list[int] = []

    def handle(request: httpx.Request) -> httpx.Response:
        under_way.set()
        assert release.wait(SECONDS)
        return _stored(request)

    with (
        _service(handle) as service,
        Uploader(service, "c1", queue_bytes=2 * FRAME.size, connections=1) as uploader,
    ):

        def fill() -> None:
            for index in range(3):
                uploader.put("up", index, FRAME)
                queued.append(index)

        filling = threading.Thread(target=fill)
        filling.start()
        assert under_way.wait(SECONDS)
        filling.join(0.1)
        assert filling.is_alive()
        assert queued == [0, 1]
        release.set()
        filling.join(SECONDS)
        assert queued == [0, 1, 2]


def test_a_gradient_larger_than_the_queue_goes_alone() -> None:
    with _service(_stored) as service, Uploader(service, "c1", queue_bytes=1) as uploader:
        for index in range(3):
            uploader.put("up", index, FRAME)
        uploader.drain()


def test_a_refusal_reaches_the_training_thread_and_stops_the_rest() -> None:
    sent: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        problem = NonFiniteGradient("up 0: NaN").to_problem()
        return httpx.Response(
            422,
            content=problem.model_dump_json(),
            headers={"content-type": "application/problem+json"},
        )

    def upload() -> None:
        with _service(handle) as service, Uploader(service, "c1", connections=1) as uploader:
            for index in range(1000):
                uploader.put("up", index, FRAME)

    with pytest.raises(NonFiniteGradient, match="up 0: NaN"):
        upload()
    assert len(sent) == 1


def test_an_interruption_does_not_wait_for_a_server_that_is_gone() -> None:
    answered, gone = threading.Event(), threading.Event()

    def handle(request: httpx.Request) -> httpx.Response:
        if not answered.is_set():
            answered.set()
            return _stored(request)
        gone.set()
        raise httpx.ConnectError("refused")

    service = _service(handle)

    def upload() -> None:
        with Uploader(service, "c1", connections=1) as uploader:
            uploader.put("up", 0, FRAME)
            uploader.drain()
            uploader.put("up", 1, FRAME)
            assert gone.wait(SECONDS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upload()
    with pytest.raises(ServerUnreachable, match="gave up"):
        service.job("j1")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("upload-")]
