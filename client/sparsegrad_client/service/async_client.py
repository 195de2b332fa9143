"""The asynchronous HTTP client: `BasisService` method by method, and no decision of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx
from httpx_sse import EventSource, aconnect_sse

from sparsegrad_shared.calibrations import (
    CalibrationCreated,
    CalibrationManifest,
    CalibrationStatus,
    CalibrationSummary,
    GradientStored,
)
from sparsegrad_shared.errors import SparseGradError
from sparsegrad_shared.framing import Frame
from sparsegrad_shared.jobs import JobStatus
from sparsegrad_shared.search import CalibrationQuery

from . import calls
from .answers import Answer, raise_for_error
from .async_bases_client import AsyncBasisMethods
from .calls import Call
from .config import ServiceConfig
from .conversation import COME_AGAIN, Line, OnBusy, Send, Wait, converse, ignore
from .events import JobWatch
from .queries import CalibrationFilters, following, query_of
from .streams import IncomingFile, OutgoingPieces
from .transport import answer_of, checked, client_arguments, request_arguments

T = TypeVar("T")


class AsyncBasisService(AsyncBasisMethods):
    """A server, over HTTP, for asyncio. Arguments and errors as in `BasisService`."""

    def __init__(
        self,
        server: str | ServiceConfig,
        token: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.config = server if isinstance(server, ServiceConfig) else ServiceConfig(server, token)
        self._client = httpx.AsyncClient(transport=transport, **client_arguments(self.config))
        self._line = Line()

    def __repr__(self) -> str:
        return f"AsyncBasisService({self.config!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def create_calibration(self, manifest: CalibrationManifest) -> CalibrationCreated:
        """Open a calibration."""
        return await self._run(calls.create_calibration(manifest))

    async def put_gradient(
        self,
        calibration: str,
        group: str,
        index: int,
        frame: Frame,
        *,
        on_busy: OnBusy = ignore,
    ) -> GradientStored:
        """Send one gradient; it is on the server's disk when this returns."""
        return await self._run(calls.put_gradient(calibration, group, index, frame), on_busy)

    async def calibration_status(self, calibration: str) -> CalibrationStatus:
        """What has arrived of a calibration."""
        return await self._run(calls.calibration_status(calibration))

    async def calibrations(
        self, **filters: Unpack[CalibrationFilters]
    ) -> AsyncIterator[CalibrationSummary]:
        """The calibrations, newest first, fetched page by page (see `CalibrationFilters`).

        Raises:
            InvalidInput: when a filter cannot be used.
        """
        query: CalibrationQuery | None = query_of(CalibrationQuery, filters)
        while query is not None:
            page = await self._run(calls.find_calibrations(query))
            for calibration in page.calibrations:
                yield calibration
            query = following(query, page.next)

    async def expire_calibration(self, calibration: str) -> CalibrationStatus:
        """Let a calibration's gradients go now; what was published of them stays."""
        return await self._run(calls.expire_calibration(calibration))

    async def finish(self, calibration: str) -> JobStatus:
        """Take no more gradients, and compute the basis of those that arrived."""
        return await self._run(calls.finish(calibration))

    async def job(self, job_id: str) -> JobStatus:
        """A job's present state."""
        return await self._run(calls.job(job_id))

    async def watch_job(self, job_id: str) -> AsyncIterator[JobStatus]:
        """A job's states from now until it has ended.

        A stream that was cut is opened again; a server that is busy or starts anew is waited for.
        """
        watch = JobWatch(self.config, monotonic)
        while not watch.ended:
            failure: httpx.TransportError | SparseGradError | None = None
            try:
                async with self._events(job_id) as source:
                    async for event in source.aiter_sse():
                        status = watch.take(event)
                        if status is not None:
                            yield status
            except (httpx.TransportError, *COME_AGAIN) as error:
                failure = error
            if not watch.ended:
                await asyncio.sleep(watch.pause_after(failure))

    async def _run(self, call: Call[T], on_busy: OnBusy = ignore) -> T:
        talk = converse(call, self.config, self._line, monotonic)
        try:
            step = next(talk)
            while True:
                try:
                    answer = await self._perform(step, call, on_busy)
                except httpx.TransportError as failure:
                    step = talk.throw(failure)
                else:
                    step = talk.send(answer)
        except StopIteration as ended:
            value: T = ended.value
            return value

    async def _perform(self, step: Send | Wait, call: Call[Any], on_busy: OnBusy) -> Answer | None:
        if isinstance(step, Wait):
            if step.busy:
                on_busy(True)
            try:
                await asyncio.sleep(step.seconds)
            finally:
                if step.busy:
                    on_busy(False)
            return None
        body = call.body
        content = body if isinstance(body, bytes) else OutgoingPieces(body).pieces()
        async with self._client.stream(content=content, **request_arguments(call)) as response:
            if call.save is None or not response.is_success:
                return checked(answer_of(response, await response.aread()), self.config)
            with IncomingFile(call.save) as file:
                async for piece in response.aiter_bytes():
                    file.write(piece)
                return answer_of(response, b"", file.digest())

    @asynccontextmanager
    async def _events(self, job_id: str) -> AsyncIterator[EventSource]:
        async with aconnect_sse(self._client, "GET", calls.job_events_path(job_id)) as source:
            if not source.response.is_success:
                content = await source.response.aread()
                raise_for_error(checked(answer_of(source.response, content), self.config))
            yield source
