"""The synchronous HTTP client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from httpx_sse import EventSource, connect_sse

from sparsegrad_shared.aliases import AliasStatus
from sparsegrad_shared.bases import (
    BasisDifference,
    BasisList,
    BasisVersion,
    FileEntry,
    PublishedVersion,
)
from sparsegrad_shared.calibrations import (
    CalibrationCreated,
    CalibrationManifest,
    CalibrationStatus,
    GradientStored,
)
from sparsegrad_shared.errors import ServerUnreachable
from sparsegrad_shared.framing import Frame
from sparsegrad_shared.jobs import JobStatus

from . import calls
from .answers import Answer, raise_for_error
from .calls import Call
from .config import ServiceConfig
from .conversation import Line, Send, Wait, converse
from .events import JobWatch
from .streams import IncomingFile, OutgoingFrame
from .transport import answer_of, checked, client_arguments, request_arguments

T = TypeVar("T")


class BasisService:
    """A server, over HTTP. Threads may share it.

    Every method raises the exception that the server raised (`sparsegrad_shared.errors`), and
    `ServerUnreachable` when no answer comes.

    Args:
        server: its address, or a whole `ServiceConfig`.
        token: proves who asks.
        transport: an httpx transport in place of the network, for tests.
    """

    def __init__(
        self,
        server: str | ServiceConfig,
        token: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.config = server if isinstance(server, ServiceConfig) else ServiceConfig(server, token)
        self._client = httpx.Client(transport=transport, **client_arguments(self.config))
        self._line = Line()
        self._stop_waiting = threading.Event()

    def __repr__(self) -> str:
        return f"BasisService({self.config!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; threads that wait to try again give up."""
        self.stop_waiting()
        self._client.close()

    def stop_waiting(self) -> None:
        """Let threads that wait to try again give up, from now on; what is under way goes on."""
        self._stop_waiting.set()

    def create_calibration(self, manifest: CalibrationManifest) -> CalibrationCreated:
        """Open a calibration."""
        return self._run(calls.create_calibration(manifest))

    def put_gradient(
        self, calibration: str, group: str, index: int, frame: Frame
    ) -> GradientStored:
        """Send one gradient; it is on the server's disk when this returns."""
        return self._run(calls.put_gradient(calibration, group, index, frame))

    def calibration_status(self, calibration: str) -> CalibrationStatus:
        """What has arrived of a calibration."""
        return self._run(calls.calibration_status(calibration))

    def finish(self, calibration: str) -> JobStatus:
        """Take no more gradients, and compute the basis of those that arrived."""
        return self._run(calls.finish(calibration))

    def job(self, job_id: str) -> JobStatus:
        """A job's present state."""
        return self._run(calls.job(job_id))

    def watch_job(self, job_id: str) -> Iterator[JobStatus]:
        """A job's states from now until it has ended; a cut stream is opened again."""
        watch = JobWatch(self.config, monotonic)
        while not watch.ended:
            failure = None
            try:
                with self._events(job_id) as source:
                    for event in source.iter_sse():
                        status = watch.take(event)
                        if status is not None:
                            yield status
            except httpx.TransportError as error:
                failure = error
            if not watch.ended:
                self._wait(watch.pause_after(failure))

    def find_bases(
        self,
        *,
        name: str | None = None,
        model: str | None = None,
        digest: str | None = None,
        limit: int | None = None,
    ) -> BasisList:
        """Search the published bases; newest first."""
        return self._run(calls.find_bases(name=name, model=model, digest=digest, limit=limit))

    def resolve(self, reference: str) -> BasisVersion:
        """The basis that a reference means: name, name@version, name:alias or digest."""
        return self._run(calls.resolve(reference))

    def version(self, name: str, number: int) -> BasisVersion:
        """A version of a name."""
        return self._run(calls.version(name, number))

    def download_file(self, published: PublishedVersion, file: FileEntry, path: Path) -> None:
        """Write a basis's file to `path`; it is whole and on disk when this returns.

        Raises:
            CorruptFile: when the bytes that came are not those of the file's digest.
        """
        self._run(calls.download_file(published, file, path))

    def alias(self, name: str, alias: str) -> AliasStatus:
        """What an alias names, and has named."""
        return self._run(calls.alias(name, alias))

    def set_alias(
        self, name: str, alias: str, version: int, *, expected: int | None
    ) -> AliasStatus:
        """Let an alias name a version.

        Args:
            name: the name that the alias belongs to.
            alias: the alias.
            version: what it shall name.
            expected: what it names at present; None when there is no such alias yet.

        Raises:
            PreconditionFailed: when it names something else than `expected`.
        """
        return self._run(calls.set_alias(name, alias, version, expected=expected))

    def diff(self, a: str, b: str) -> BasisDifference:
        """Principal angles between two bases, given by digest."""
        return self._run(calls.diff(a, b))

    def _run(self, call: Call[T]) -> T:
        talk = converse(call, self.config, self._line, monotonic)
        try:
            step = next(talk)
            while True:
                try:
                    answer = self._perform(step, call)
                except httpx.TransportError as failure:
                    step = talk.throw(failure)
                else:
                    step = talk.send(answer)
        except StopIteration as ended:
            value: T = ended.value
            return value

    def _perform(self, step: Send | Wait, call: Call[Any]) -> Answer | None:
        if isinstance(step, Wait):
            self._wait(step.seconds)
            return None
        body = OutgoingFrame(call.body) if isinstance(call.body, Frame) else call.body
        with self._client.stream(content=body, **request_arguments(call)) as response:
            if call.save is None or not response.is_success:
                return checked(answer_of(response, response.read()), self.config)
            with IncomingFile(call.save) as file:
                for piece in response.iter_bytes():
                    file.write(piece)
                return answer_of(response, b"", file.digest())

    @contextmanager
    def _events(self, job_id: str) -> Iterator[EventSource]:
        with connect_sse(self._client, "GET", calls.job_events_path(job_id)) as source:
            if not source.response.is_success:
                content = source.response.read()
                raise_for_error(checked(answer_of(source.response, content), self.config))
            yield source

    def _wait(self, seconds: float) -> None:
        if self._stop_waiting.wait(seconds):
            raise ServerUnreachable(f"gave up on the server at {self.config.url}, as was asked for")
