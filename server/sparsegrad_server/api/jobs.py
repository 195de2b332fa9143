"""Jobs: their state, and their progress as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from sparsegrad_shared.jobs import JOB_EVENT, JobLog, JobStatus
from sparsegrad_shared.references import Segment
from sparsegrad_shared.search import MAX_PAGE

from ..catalog import Catalog, job_lines, jobs
from ..live.streams import follow
from .dependencies import CatalogOf, DrainingOf, Reader, StreamsOf

LOOK_SECONDS = 0.25  # between two looks at a job that someone listens to
MOST_STREAMS = 100  # of one token, which a whole team may share

router = APIRouter(tags=["jobs"], prefix="/jobs")


def _visible(job_id: Segment, principal: Reader, catalog: CatalogOf) -> JobStatus:
    with catalog.reading() as session:
        job, calibration = jobs.get(session, job_id)
        if not principal.sees(calibration.namespace):
            raise jobs.unknown(job_id)
        return jobs.status(session, job, calibration)


# A dependency, so that a job that is not there is a 404, before the stream begins.
VisibleJob = Annotated[JobStatus, Depends(_visible)]


@router.get("/{job_id}")
def get_job(job: VisibleJob) -> JobStatus:
    """A job's present state."""
    return job


@router.get("/{job_id}/log")
def read_job_log(
    job: VisibleJob,
    catalog: CatalogOf,
    after: Annotated[int, Query(ge=0, lt=1 << 63, description="`next` of the page before")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
) -> JobLog:
    """What a job has said, in all its attempts, oldest first.

    Of a job that said very much, the first lines and the last ones are kept.
    """
    with catalog.reading() as session:
        return job_lines.read(session, job.id, limit, after)


def one_more_stream(principal: Reader, streams: StreamsOf) -> Iterator[None]:
    """A dependency: one of the streams that a token may have, until it ends.

    Raises:
        Overloaded: when it has as many as it may have.
    """
    with streams.one_more(principal.token_id):
        yield


@router.get(
    "/{job_id}/events",
    response_class=EventSourceResponse,
    dependencies=[Depends(one_more_stream)],
)
async def follow_job(
    job: VisibleJob, catalog: CatalogOf, draining: DrainingOf
) -> AsyncIterator[ServerSentEvent]:
    """A job's present state, then each change, until it has ended, or the server stops.

    A token has a bounded number of such streams at a time, since each looks into the catalog four
    times a second.
    """
    events = follow(
        job,
        lambda: _status(catalog, job.id),
        _event,
        ended=lambda latest: latest.ended,
        draining=draining,
        every=LOOK_SECONDS,
    )
    async for event in events:
        yield event


def _status(catalog: Catalog, job_id: str) -> JobStatus:
    with catalog.reading() as session:
        return jobs.status(session, *jobs.get(session, job_id))


def _event(job: JobStatus) -> ServerSentEvent:
    return ServerSentEvent(event=JOB_EVENT, data=job)
