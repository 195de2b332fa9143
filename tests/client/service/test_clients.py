"""What the two clients put on the wire and read from it, over a transport that the test holds."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from sparsegrad_client.service import AsyncBasisService, BasisService, ServiceConfig
from sparsegrad_shared.bases import FileEntry, PublishedVersion
from sparsegrad_shared.digests import digest_of, parse_content_digest
from sparsegrad_shared.errors import (
    CorruptFile,
    Overloaded,
    ServerUnreachable,
    SparseGradError,
    Unauthenticated,
    Unavailable,
    UnknownJob,
)
from sparsegrad_shared.framing import PIECE_BYTES, Frame, RawTensor
from sparsegrad_shared.jobs import JobStatus

URL = "https://team.example"
CONTENT = b"basis" * 1000
ENTRY = FileEntry(name="up.safetensors", digest=digest_of([CONTENT]), bytes=len(CONTENT))
VERSION = PublishedVersion(name="team/x", version=3, digest=ENTRY.digest)
BIG = bytes(range(256)) * 4096
FRAME = Frame({"G": RawTensor("float32", (512, 512), memoryview(BIG))})
STORED = {"group": "up", "index": 4, "digest": FRAME.digest(), "form": "dense", "zero": False}

Handler = Callable[[httpx.Request], httpx.Response]


def _status(state: str, completed: int) -> JobStatus:
    return JobStatus.model_validate(
        {
            "id": "j1",
            "calibration": "c1",
            "state": state,
            "phase": "summing gradients",
            "completed": completed,
            "total": 2,
            "created": "2026-01-01T00:00:00Z",
            "updated": "2026-01-01T00:00:00Z",
        }
    )


def _stream(*statuses: JobStatus) -> str:
    events = (f"event: job\ndata: {status.model_dump_json()}\n\n" for status in statuses)
    return ": keep-alive\n\n" + "".join(events)


class _PieceSizes(httpx.BaseTransport):
    """Notes how a body comes, piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.request: httpx.Request | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        self.request = request
        self.pieces = list(request.stream)
        return httpx.Response(201, json=STORED)


def test_a_gradient_goes_out_in_pieces_with_length_and_digest() -> None:
    transport = _PieceSizes()
    with BasisService(URL, "sg_secret", transport=transport) as service:
        stored = service.put_gradient("c1", "up", 4, FRAME)
    assert stored.index == 4
    request = transport.request
    assert request is not None
    assert request.url.path == "/v1/calibrations/c1/gradients/up/4"
    assert request.headers["authorization"] == "Bearer sg_secret"
    assert int(request.headers["content-length"]) == FRAME.size
    assert "transfer-encoding" not in request.headers
    assert parse_content_digest(request.headers["content-digest"]) == FRAME.digest()
    assert digest_of(transport.pieces) == FRAME.digest()
    assert max(map(len, transport.pieces)) == PIECE_BYTES


def test_the_async_client_sends_the_same_bytes() -> None:
    bodies: list[bytes] = []

    async def handle(request: httpx.Request) -> httpx.Response:
        bodies.append(await request.aread())
        return httpx.Response(201, json=STORED)

    async def put() -> None:
        async with AsyncBasisService(URL, transport=httpx.MockTransport(handle)) as service:
            await service.put_gradient("c1", "up", 4, FRAME)

    asyncio.run(put())
    assert [hashlib.sha256(body).hexdigest() for body in bodies] == [
        FRAME.digest().removeprefix("sha256:")
    ]


def _download(handler: Handler, path: Path, *, asynchronous: bool) -> None:
    transport = httpx.MockTransport(handler)
    if not asynchronous:
        with BasisService(URL, transport=transport) as service:
            service.download_file(VERSION, ENTRY, path)
        return

    async def download() -> None:
        async with AsyncBasisService(URL, transport=transport) as service:
            await service.download_file(VERSION, ENTRY, path)

    asyncio.run(download())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_file_is_written_and_held_to_its_digest(tmp_path: Path, asynchronous: bool) -> None:
    path = tmp_path / "file"
    _download(lambda request: httpx.Response(200, content=CONTENT), path, asynchronous=asynchronous)
    assert path.read_bytes() == CONTENT
    for wrong, said in ((b"other", "expected sha256:"), (CONTENT + b"!", "more came")):
        with pytest.raises(CorruptFile, match=said):
            _download(
                lambda request, wrong=wrong: httpx.Response(200, content=wrong),
                path,
                asynchronous=asynchronous,
            )


def _watch(handler: Handler, *, asynchronous: bool) -> list[JobStatus]:
    transport = httpx.MockTransport(handler)
    config = ServiceConfig(URL, patience=2.0, busy_patience=2.0)
    if not asynchronous:
        with BasisService(config, transport=transport) as service:
            return list(service.watch_job("j1"))

    async def watch() -> list[JobStatus]:
        async with AsyncBasisService(config, transport=transport) as service:
            return [status async for status in service.watch_job("j1")]

    return asyncio.run(watch())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_job_is_watched_to_its_end_over_a_cut_stream(asynchronous: bool) -> None:
    queued, leased, done = _status("queued", 0), _status("leased", 1), _status("done", 2)

    def cut() -> Iterator[str | httpx.TransportError]:
        yield _stream(queued, leased)
        yield httpx.ReadError("cut")
        yield _stream(leased, done)

    answers = cut()

    def handle(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept"] == "text/event-stream"
        answer = next(answers)
        if isinstance(answer, httpx.TransportError):
            raise answer
        return httpx.Response(
            200, content=answer.encode(), headers={"content-type": "text/event-stream"}
        )

    assert _watch(handle, asynchronous=asynchronous) == [queued, leased, done]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_that_stays_cut_ends_the_watch(asynchronous: bool) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(ServerUnreachable, match="refused"):
        _watch(handle, asynchronous=asynchronous)


def _refusal(error: SparseGradError) -> httpx.Response:
    problem = error.to_problem()
    headers = {"content-type": "application/problem+json"}
    return httpx.Response(problem.status, content=problem.model_dump_json(), headers=headers)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_busy_server_and_one_that_starts_anew_are_waited_for_by_who_watches_a_job(
    asynchronous: bool,
) -> None:
    leased, done = _status("leased", 1), _status("done", 2)
    answers = iter(
        [
            _refusal(Unavailable("the catalog is away", retry_after=0.01)),
            httpx.Response(200, content=_stream(leased)),
            httpx.Response(502, text="Bad gateway", headers={"retry-after": "0"}),
            _refusal(Overloaded("too often", retry_after=0.01)),
            httpx.Response(200, content=_stream(done)),
        ]
    )

    def handle(request: httpx.Request) -> httpx.Response:
        answer = next(answers)
        if answer.is_success:
            answer.headers["content-type"] = "text/event-stream"
        return answer

    assert _watch(handle, asynchronous=asynchronous) == [leased, done]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    "refusal",
    [UnknownJob("no job j1"), Unavailable("for good"), Unavailable("later", retry_after=1e9)],
)
def test_a_refusal_that_does_not_pass_in_time_ends_the_watch(
    refusal: SparseGradError, asynchronous: bool
) -> None:
    with pytest.raises(type(refusal), match=refusal.message):
        _watch(lambda request: _refusal(refusal), asynchronous=asynchronous)


def test_a_refused_token_says_where_one_is_set() -> None:
    problem = Unauthenticated("unknown token").to_problem()

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            401,
            content=problem.model_dump_json(),
            headers={"content-type": "application/problem+json"},
        )

    with (
        BasisService(URL, transport=httpx.MockTransport(handle)) as service,
        pytest.raises(Unauthenticated, match="unknown token.*no token was given.*SPARSEGRAD_TOKEN"),
    ):
        service.job("j1")


def test_a_redirect_is_not_followed_so_that_the_token_goes_nowhere_else() -> None:
    hosts: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        return httpx.Response(302, headers={"location": "https://elsewhere.example/"})

    with (
        BasisService(URL, "sg_secret", transport=httpx.MockTransport(handle)) as service,
        pytest.raises(Exception, match="302"),
    ):
        service.job("j1")
    assert hosts == ["team.example"]


def test_threads_that_wait_to_try_again_give_up_when_asked() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        service.stop_waiting()
        return httpx.Response(
            429,
            content=b'{"type": "urn:sparsegrad:error:overloaded", "title": "x", "status": 429,'
            b' "detail": "later", "retry_after": 500}',
            headers={"content-type": "application/problem+json"},
        )

    service = BasisService(URL, transport=httpx.MockTransport(handle))
    with service, pytest.raises(ServerUnreachable, match="gave up"):
        service.job("j1")
