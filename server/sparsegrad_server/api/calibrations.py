"""Calibrations: opened, looked at, finished, expired."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from sparsegrad_shared.calibrations import (
    CalibrationCreated,
    CalibrationList,
    CalibrationManifest,
    CalibrationStatus,
    Limits,
)
from sparsegrad_shared.jobs import JobStatus
from sparsegrad_shared.references import Segment, parse_name
from sparsegrad_shared.search import CalibrationQuery

from ..auth.principal import Principal
from ..catalog import calibrations, jobs
from ..catalog.tables import CalibrationRow
from ..context import concern
from ..hosvd.estimate import estimate_calibration
from ..ingest.finish import finish
from ..ingest.opening import check_room, time_to_live
from .dependencies import CatalogOf, GradientsOf, Reader, SettingsOf, Writer

router = APIRouter(tags=["calibrations"], prefix="/calibrations")


@router.post("", status_code=201)
def open_calibration(
    manifest: CalibrationManifest,
    response: Response,
    principal: Writer,
    catalog: CatalogOf,
    store: GradientsOf,
    settings: SettingsOf,
) -> CalibrationCreated:
    """Open a calibration, for gradients to be sent to."""
    namespace, _name = parse_name(manifest.name)
    principal.check(namespace)
    estimate = estimate_calibration(manifest.groups, manifest.options)
    check_room(manifest, estimate, settings)
    ttl = time_to_live(manifest, settings)
    calibration_id = calibrations.new_id()
    concern(namespace, calibration_id)
    # Room first, then the row: a kill in between leaves a folder that nothing names.
    store.create(calibration_id, manifest)
    with catalog.writing() as session:
        now = datetime.now(UTC)
        calibrations.add(session, calibration_id, manifest, principal.name, now, ttl)
    response.headers["Location"] = f"/v1/calibrations/{calibration_id}"
    limits = Limits(
        gradient_bytes=settings.max_gradient_bytes,
        calibration_gradients=settings.max_gradients,
        concurrent_uploads=settings.max_concurrent_uploads,
        body_seconds=settings.body_seconds,
    )
    return CalibrationCreated(id=calibration_id, limits=limits, estimate=estimate)


@router.get("")
def search_calibrations(
    query: Annotated[CalibrationQuery, Query()], principal: Reader, catalog: CatalogOf
) -> CalibrationList:
    """The calibrations that the token may see, newest first."""
    with catalog.reading() as session:
        return calibrations.search(session, query, principal.namespace, datetime.now(UTC))


@router.get("/{calibration_id}")
def get_calibration(
    calibration_id: Segment, principal: Reader, catalog: CatalogOf
) -> CalibrationStatus:
    """A calibration's state, and which gradients have arrived."""
    with catalog.reading() as session:
        row = _visible(calibrations.get(session, calibration_id), principal)
        return calibrations.status(session, row)


@router.post("/{calibration_id}/finish", status_code=202)
def finish_calibration(
    calibration_id: Segment, response: Response, principal: Writer, catalog: CatalogOf
) -> JobStatus:
    """Close a calibration and have its basis computed; a second call answers the same job."""
    with catalog.writing() as session:
        row = _visible(calibrations.get(session, calibration_id), principal)
        job = finish(session, row)
        response.headers["Location"] = f"/v1/jobs/{job.id}"
        return jobs.status(session, job, row)


@router.delete("/{calibration_id}")
def expire_calibration(
    calibration_id: Segment, principal: Writer, catalog: CatalogOf
) -> CalibrationStatus:
    """Have a calibration expire now: its gradients go, what was published of them stays.

    A job that is at work on them is waited for.
    """
    with catalog.writing() as session:
        row = _visible(calibrations.take(session, calibration_id), principal)
        calibrations.expire(session, row, datetime.now(UTC))
        return calibrations.status(session, row)


def _visible(row: CalibrationRow, principal: Principal) -> CalibrationRow:
    if not principal.sees(row.namespace):
        raise calibrations.unknown(row.id)
    concern(row.namespace, row.id)
    return row
