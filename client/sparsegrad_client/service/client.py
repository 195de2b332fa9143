"""The synchronous HTTP client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx
from httpx_sse import EventSource, connect_sse

from sparsegrad_shared.calibrations import (
    CalibrationCreated,
    CalibrationManifest,
    CalibrationStatus,
    CalibrationSummary,
    GradientStored,
)
from sparsegrad_shared.errors import ServerUnreachable, SparseGradError
from sparsegrad_shared.framing import Frame
from sparsegrad_shared.jobs import JobStatus
from sparsegrad_shared.search import CalibrationQuery

from . import calls
from .answers import Answer, raise_for_error
from .bases_client import BasisMethods
from .calls import Call
from .config import ServiceConfig
from .conversation import COME_AGAIN, Line, OnBusy, Send, Wait, converse, ignore
from .events import JobWatch
from .queries import CalibrationFilters, following, query_of
from .streams import IncomingFile, OutgoingPieces
from .transport import answer_of, checked, client_arguments, request_arguments

T = TypeVar("T")


class BasisService(BasisMethods):
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
        self,
        calibration: str,
        group: str,
        index: int,
        frame: Frame,
        *,
        on_busy: OnBusy = ignore,
    ) -> GradientStored:
        """Send one gradient; it is on the server's disk when this returns.

        Args:
            calibration: the calibration's id.
            group: the group's name.
            index: the slot.
            frame: the gradient.
            on_busy: told True when the server is busy and this begins to wait, False when it goes
                on.
        """
        return self._run(calls.put_gradient(calibration, group, index, frame), on_busy)

    def calibration_status(self, calibration: str) -> CalibrationStatus:
        """What has arrived of a calibration."""
        return self._run(calls.calibration_status(calibration))

    def calibrations(self, **filters: Unpack[CalibrationFilters]) -> Iterator[CalibrationSummary]:
        """The calibrations, newest first, fetched page by page (see `CalibrationFilters`).

        Raises:
            InvalidInput: when a filter cannot be used.
        """
        query: CalibrationQuery | None = query_of(CalibrationQuery, filters)
        while query is not None:
            page = self._run(calls.find_calibrations(query))
            yield from page.calibrations
            query = following(query, page.next)

    def expire_calibration(self, calibration: str) -> CalibrationStatus:
        """Let a calibration's gradients go now; what was published of them stays."""
        return self._run(calls.expire_calibration(calibration))

    def finish(self, calibration: str) -> JobStatus:
        """Take no more gradients, and compute the basis of those that arrived."""
        return self._run(calls.finish(calibration))

    def job(self, job_id: str) -> JobStatus:
        """A job's present state."""
        return self._run(calls.job(job_id))

    def watch_job(self, job_id: str) -> Iterator[JobStatus]:
        """A job's states from now until it has ended.

        A stream that was cut is opened again; a server that is busy or starts anew is waited for.
        """
        watch = JobWatch(self.config, monotonic)
        while not watch.ended:
            failure: httpx.TransportError | SparseGradError | None = None
            try:
                with self._events(job_id) as source:
                    for event in source.iter_sse():
                        status = watch.take(event)
                        if status is not None:
                            yield status
            except (httpx.TransportError, *COME_AGAIN) as error:
                failure = error
            if not watch.ended:
                self._wait(watch.pause_after(failure))

    def _run(self, call: Call[T], on_busy: OnBusy = ignore) -> T:
        talk = converse(call, self.config, self._line, monotonic)
        try:
            step = next(talk)
            while True:
                try:
                    answer = self._perform(step, call, on_busy)
                except httpx.TransportError as failure:
                    step = talk.throw(failure)
                else:
                    step = talk.send(answer)
        except StopIteration as ended:
            value: T = ended.value
            return value

    def _perform(self, step: Send | Wait, call: Call[Any], on_busy: OnBusy) -> Answer | None:
        if isinstance(step, Wait):
            if step.busy:
                on_busy(True)
            try:
                self._wait(step.seconds)
            finally:
                if step.busy:
                    on_busy(False)
            return None
        body = call.body
        content = body if isinstance(body, bytes) else OutgoingPieces(body)
        with self._client.stream(content=content, **request_arguments(call)) as response:
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
