"""Calibrations in the catalog."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy.orm import Session

from sparsegrad_shared.calibrations import (
    CalibrationManifest,
    CalibrationStatus,
    GroupArrivals,
    GroupSpec,
)
from sparsegrad_shared.errors import CalibrationClosed, UnknownCalibration, UnknownGroup
from sparsegrad_shared.references import parse_name

from . import gradients, namespaces
from .tables import CalibrationRow


def new_id() -> str:
    """An id for a new calibration, which nobody can guess."""
    return f"cal-{secrets.token_hex(8)}"


def add(
    session: Session, calibration_id: str, manifest: CalibrationManifest, by: str, now: datetime
) -> CalibrationRow:
    """Open a calibration; `by` is the name of the token that asked for it."""
    namespace, name = parse_name(manifest.name)
    row = CalibrationRow(
        id=calibration_id,
        namespace=namespace,
        name=name,
        manifest=manifest.model_dump_json(),
        state="open",
        created=now,
        created_by=by,
        expires=None,
        job_id=None,
    )
    session.add(row)
    namespaces.open_account(session, namespace)
    session.flush()
    return row


def get(session: Session, calibration_id: str) -> CalibrationRow:
    """The calibration of that id, as it is in the database now.

    Raises:
        UnknownCalibration: when there is none.
    """
    row = session.get(CalibrationRow, calibration_id, populate_existing=True)
    if row is None:
        raise unknown(calibration_id)
    return row


def unknown(calibration_id: str) -> UnknownCalibration:
    """The error for an id that is not there, or that a token may not see."""
    return UnknownCalibration(f"no calibration {calibration_id!r}: start one first")


def manifest_of(row: CalibrationRow) -> CalibrationManifest:
    """What the client said when it opened the calibration."""
    return CalibrationManifest.model_validate_json(row.manifest)


def group_of(row: CalibrationRow, name: str) -> GroupSpec:
    """The calibration's group of that name.

    Raises:
        UnknownGroup: when there is none; names those that there are.
    """
    manifest = manifest_of(row)
    for group in manifest.groups:
        if group.name == name:
            return group
    known = ", ".join(group.name for group in manifest.groups)
    raise UnknownGroup(f"no group {name!r} in calibration {row.id}; it has {known}")


def check_open(row: CalibrationRow) -> None:
    """Hold a calibration to be open.

    Raises:
        CalibrationClosed: when it was finished.
    """
    if row.state != "open":
        raise CalibrationClosed(
            f"calibration {row.id} was finished and takes no more gradients: start another one"
        )


def status(session: Session, row: CalibrationRow) -> CalibrationStatus:
    """A calibration as it is shown."""
    groups = []
    for group in manifest_of(row).groups:
        stored = gradients.stored(session, row.id, group.name)
        groups.append(
            GroupArrivals(
                name=group.name,
                expected=group.slots,
                arrived=tuple(gradient.index for gradient in stored),
                zero=sum(gradient.zero for gradient in stored),
            )
        )
    return CalibrationStatus(
        id=row.id,
        name=f"{row.namespace}/{row.name}",
        state="open" if row.state == "open" else "finished",
        created=row.created,
        groups=tuple(groups),
        job=row.job_id,
    )
