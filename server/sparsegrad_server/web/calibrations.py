"""Calibrations: the list of them, and one as it goes on."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, cast, get_args
from urllib.parse import urlencode

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import ValidationError
from sqlalchemy.orm import Session

from sparsegrad_shared.calibrations import CalibrationManifest, CalibrationState
from sparsegrad_shared.errors import InvalidInput
from sparsegrad_shared.jobs import JobState
from sparsegrad_shared.references import Segment
from sparsegrad_shared.search import CalibrationQuery

from ..api.dependencies import CatalogOf
from ..catalog import arrivals, calibrations, jobs
from ..catalog.tables import CalibrationRow
from ..context import concern
from ..ingest.finish import finish
from ..live.calibrations import CalibrationSeen
from ..live.looks import Looks
from . import calibration_views
from .complaints import by_field, by_name
from .live import Stream, stream
from .rendering import page
from .visitors import Editor, Viewer, page_router

PATH = "/calibrations"
PAGE = 25
STATES: tuple[CalibrationState, ...] = get_args(CalibrationState)
_ASKED = ("q", "state")

router = page_router(prefix=PATH)


@dataclass(frozen=True)
class Listed:
    """A calibration as the list shows it."""

    row: CalibrationRow
    state: CalibrationState
    job: JobState | None
    model: str
    dataset: str
    groups: int
    stored: int
    expected: int
    bytes: int

    @property
    def name(self) -> str:
        """What its basis is published as."""
        return f"{self.row.namespace}/{self.row.name}"


@router.get("")
def list_calibrations(request: Request, principal: Viewer, catalog: CatalogOf) -> HTMLResponse:
    """The calibrations that the visitor may see and has asked for, newest first."""
    asked = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
    found: list[Listed] = []
    more, complaints = None, {}
    now = datetime.now(UTC)
    with catalog.reading() as session:
        try:
            rows, more = calibrations.find(session, _query(asked), principal.namespace, now)
            found = _listed(session, rows, now)
        except ValidationError as error:
            complaints = by_field(error)
        except InvalidInput as error:
            complaints = by_name(error)
    answer = page(
        request,
        "calibrations.html",
        status=InvalidInput.status if complaints else 200,
        asked=asked,
        states=STATES,
        complaints=complaints,
        found=found,
        first=_address(asked, None) if "after" in asked else None,
        later=None if more is None else _address(asked, more),
    )
    answer.headers["HX-Replace-Url"] = _address(asked, asked.get("after"))
    return answer


def visible(calibration_id: Segment, principal: Viewer, catalog: CatalogOf) -> CalibrationRow:
    """The calibration of that id.

    Raises:
        UnknownCalibration: when there is none, or it is another namespace's.
    """
    with catalog.reading() as session:
        row = calibrations.get(session, calibration_id)
    if not principal.sees(row.namespace):
        raise calibrations.unknown(calibration_id)
    return row


def looks_of(request: Request) -> Looks[CalibrationSeen]:
    """The calibrations that are watched."""
    return cast(Looks[CalibrationSeen], request.app.state.calibration_looks)


VisibleCalibration = Annotated[CalibrationRow, Depends(visible)]
LooksOf = Annotated[Looks[CalibrationSeen], Depends(looks_of)]


@router.get("/{calibration_id}")
def show_calibration(request: Request, row: VisibleCalibration, looks: LooksOf) -> HTMLResponse:
    """One calibration: what has arrived, what its job is at, what it published."""
    seen, manifest = looks.see_anew(row.id), calibrations.manifest_of(row)
    return page(
        request,
        "calibration.html",
        row=row,
        manifest=manifest,
        again=_command(manifest),
        seen=seen,
        live=calibration_views.live(seen),
    )


@router.post("/{calibration_id}/finish", status_code=303)
def finish_again(row: VisibleCalibration, principal: Editor, catalog: CatalogOf) -> Response:
    """Have the basis computed again, after its job has failed; what is summed stays."""
    concern(row.namespace, row.id)
    with catalog.writing() as session:
        job = finish(session, calibrations.get(session, row.id)).id
    return RedirectResponse(f"/jobs/{job}", status_code=303)


@router.get("/{calibration_id}/events", response_class=EventSourceResponse)
async def follow_calibration(
    request: Request, row: VisibleCalibration, looks: LooksOf, _stream: Stream
) -> AsyncIterator[ServerSentEvent]:
    """What the page of a calibration shows, as it changes."""
    events = stream(
        request,
        await run_in_threadpool(looks.see, row.id),
        lambda: looks.see(row.id),
        calibration_views.live,
        lambda seen: seen.ended,
    )
    async for event in events:
        yield event


def _command(manifest: CalibrationManifest) -> str:
    """What calibrates the same again; the shell takes each word as it is."""
    words = {"model": manifest.model.id, "dataset": manifest.dataset.id, "name": manifest.name}
    options = " ".join(f"--{option} {shlex.quote(word)}" for option, word in words.items())
    return f"sparsegrad-client calibrate {options}"


def _query(asked: Mapping[str, str]) -> CalibrationQuery:
    values = {name: asked[name] for name in (*_ASKED, "after") if name in asked}
    return CalibrationQuery.model_validate({**values, "limit": PAGE})


def _listed(session: Session, rows: list[CalibrationRow], now: datetime) -> list[Listed]:
    held = arrivals.totals(session, [row.id for row in rows])
    states = jobs.states(session, [row.job_id for row in rows if row.job_id is not None])
    listed = []
    for row in rows:
        manifest = calibrations.manifest_of(row)
        session.expire(row, ["manifest"])  # megabytes, of as many as a page has
        stored, size = held.get(row.id, (0, 0))
        listed.append(
            Listed(
                row=row,
                state=calibrations.state_of(row, now),
                job=None if row.job_id is None else states[row.job_id],
                model=manifest.model.id,
                dataset=manifest.dataset.id,
                groups=len(manifest.groups),
                stored=stored,
                expected=sum(group.slots for group in manifest.groups),
                bytes=size,
            )
        )
    return listed


def _address(asked: Mapping[str, str], after: str | None) -> str:
    kept = {name: asked[name] for name in _ASKED if name in asked}
    if after is not None:
        kept["after"] = after
    return f"{PATH}?{urlencode(kept)}" if kept else PATH
