"""Jobs: the list of them by their state, and one with what it says."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, get_args

from fastapi import Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from sparsegrad_shared.jobs import JobLine, JobState
from sparsegrad_shared.references import Segment

from ..api.dependencies import CatalogOf
from ..catalog import Catalog, job_lines, jobs
from ..catalog.tables import CalibrationRow, JobRow
from ..live.jobs import JobPace
from . import job_views
from .job_views import JobSeen
from .live import Live, Stream, stream
from .rendering import page
from .visitors import Viewer, page_router

PATH = "/jobs"
PAGE = 25
LINES = 2500  # more than a job keeps
STATES: tuple[JobState, ...] = get_args(JobState)

router = page_router(prefix=PATH)


@router.get("")
def list_jobs(
    request: Request,
    principal: Viewer,
    catalog: CatalogOf,
    state: JobState | None = None,
    after: Annotated[str | None, Query(max_length=1000)] = None,
) -> HTMLResponse:
    """The jobs that the visitor may see, newest first."""
    with catalog.reading() as session:
        rows, more = jobs.find(session, state, principal.namespace, PAGE, after)
        counts = jobs.count_states(session, principal.namespace)
    now = datetime.now(UTC)
    return page(
        request,
        "jobs.html",
        state=state,
        states=[(name, job_views.STATES[name], counts[name]) for name in STATES],
        total=sum(counts.values()),
        found=[job_views.listed(*row, now) for row in rows],
        first=after is not None,
        later=more,
    )


def visible(
    job_id: Segment, principal: Viewer, catalog: CatalogOf
) -> tuple[JobRow, CalibrationRow]:
    """The job of that id, and its calibration.

    Raises:
        UnknownJob: when there is none, or it is another namespace's.
    """
    with catalog.reading() as session:
        found = jobs.get(session, job_id)
    if not principal.sees(found[1].namespace):
        raise jobs.unknown(job_id)
    return found


VisibleJob = Annotated[tuple[JobRow, CalibrationRow], Depends(visible)]


@router.get("/{job_id}")
def show_job(request: Request, job: VisibleJob, catalog: CatalogOf) -> HTMLResponse:
    """One job: its phase, its attempts, what went wrong, what it said."""
    row, calibration = job
    seen = JobWatch(catalog, row.id, 0)()
    return page(
        request,
        "job.html",
        row=row,
        calibration=calibration,
        title=job_views.KINDS[row.kind],
        seen=seen,
        lines=job_views.log_lines(seen.lines),
        live=job_views.live(replace(seen, lines=()), datetime.now(UTC)),
    )


@router.get("/{job_id}/events", response_class=EventSourceResponse)
async def follow_job(
    request: Request,
    job: VisibleJob,
    catalog: CatalogOf,
    _stream: Stream,
    after: Annotated[int, Query(ge=0, lt=1 << 63)] = 0,
) -> AsyncIterator[ServerSentEvent]:
    """What the page of a job shows, as it changes, and what the job says after a line."""
    watch = JobWatch(catalog, job[0].id, after)
    events = stream(request, await run_in_threadpool(watch), watch, _live, lambda seen: seen.ended)
    async for event in events:
        yield event


class JobWatch:
    """Looks at one job for one reader, who is told each line once.

    Args:
        catalog: where to look.
        job_id: which one.
        after: the last line that the reader knows.
    """

    def __init__(self, catalog: Catalog, job_id: str, after: int) -> None:
        self._catalog = catalog
        self._id = job_id
        self._after = after
        self._pace = JobPace()

    def __call__(self) -> JobSeen:
        """How it is now."""
        with self._catalog.reading() as session:
            row, calibration = jobs.get(session, self._id)
            status = jobs.status(session, row, calibration)
            lines: tuple[JobLine, ...] = job_lines.read(session, row.id, LINES, self._after).lines
        self._after = lines[-1].number if lines else self._after
        left = self._pace.seconds_left(status, time.monotonic())
        return replace(JobSeen.of(row, status), phase_seconds=left, lines=lines)


def _live(seen: JobSeen) -> Live:
    return job_views.live(seen, datetime.now(UTC))
