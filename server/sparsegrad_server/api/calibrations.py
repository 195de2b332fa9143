"""Calibrations: opened, looked at, finished."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Response

from sparsegrad_shared.calibrations import (
    CalibrationCreated,
    CalibrationManifest,
    CalibrationStatus,
    Limits,
)
from sparsegrad_shared.jobs import JobStatus
from sparsegrad_shared.references import Segment, parse_name

from ..auth.principal import Principal
from ..catalog import calibrations, jobs
from ..catalog.tables import CalibrationRow
from ..hosvd.estimate import estimate_calibration
from ..ingest.finish import finish
from ..ingest.opening import check_room
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
    calibration_id = calibrations.new_id()
    # Room first, then the row: a kill in between leaves a folder that nothing names.
    store.create(calibration_id, manifest)
    with catalog.writing() as session:
        calibrations.add(session, calibration_id, manifest, principal.name, datetime.now(UTC))
    response.headers["Location"] = f"/v1/calibrations/{calibration_id}"
    limits = Limits(
        gradient_bytes=settings.max_gradient_bytes,
        calibration_gradients=settings.max_gradients,
        concurrent_uploads=settings.max_concurrent_uploads,
        body_seconds=settings.body_seconds,
    )
    return CalibrationCreated(id=calibration_id, limits=limits, estimate=estimate)


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


def _visible(row: CalibrationRow, principal: Principal) -> CalibrationRow:
    if not principal.sees(row.namespace):
        raise calibrations.unknown(row.id)
    return row
