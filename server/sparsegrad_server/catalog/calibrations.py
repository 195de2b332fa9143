"""Calibrations in the catalog."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session, defer

from sparsegrad_shared.calibrations import (
    CalibrationList,
    CalibrationManifest,
    CalibrationState,
    CalibrationStatus,
    CalibrationSummary,
    GroupArrivals,
    GroupSpec,
)
from sparsegrad_shared.errors import CalibrationClosed, UnknownCalibration, UnknownGroup
from sparsegrad_shared.references import parse_name
from sparsegrad_shared.search import CalibrationQuery

from . import gradients, namespaces, paging
from .tables import CalibrationRow
from .words import words_of


def new_id() -> str:
    """An id for a new calibration, which nobody can guess."""
    return f"cal-{secrets.token_hex(8)}"


def add(
    session: Session,
    calibration_id: str,
    manifest: CalibrationManifest,
    by: str,
    now: datetime,
    ttl: timedelta | None = None,
) -> CalibrationRow:
    """Open a calibration.

    Args:
        session: a writing transaction.
        calibration_id: a new id.
        manifest: what the client says.
        by: the name of the token that asked for it.
        now: the time.
        ttl: how long its gradients are kept; for ever when None.
    """
    namespace, name = parse_name(manifest.name)
    row = CalibrationRow(
        id=calibration_id,
        namespace=namespace,
        name=name,
        manifest=manifest.model_dump_json(),
        state="open",
        created=now,
        created_by=by,
        expires=None if ttl is None else now + ttl,
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


def share(session: Session, calibration_id: str) -> CalibrationRow:
    """The calibration of that id, whose state stays as it is until this transaction ends.

    Uploads share it; `take` waits for them all.

    Raises:
        UnknownCalibration: when there is none.
    """
    return _locked(session, calibration_id, {"read": True})


def take(session: Session, calibration_id: str) -> CalibrationRow:
    """The calibration of that id, for this transaction alone: no upload ends beside it.

    Raises:
        UnknownCalibration: when there is none.
    """
    # Not FOR UPDATE, which would also hold up whoever inserts a row that names the calibration: a
    # publication does so with its job locked, and who takes the calibration locks that job next.
    return _locked(session, calibration_id, {"key_share": True})


def _locked(session: Session, calibration_id: str, lock: dict[str, bool]) -> CalibrationRow:
    row = session.get(CalibrationRow, calibration_id, populate_existing=True, with_for_update=lock)
    if row is None:
        raise unknown(calibration_id)
    return row


def unknown(calibration_id: str) -> UnknownCalibration:
    """The error for an id that is not there, or that a token may not see."""
    return UnknownCalibration(f"no calibration {calibration_id!r}: start one first")


# A manifest may be megabytes: who shows many calibrations, or one many times, does without.
WITHOUT_MANIFEST = defer(CalibrationRow.manifest)


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
        CalibrationClosed: when it was finished, or has expired.
    """
    check_not_expired(row)
    if row.state != "open":
        raise CalibrationClosed(
            f"calibration {row.id} was finished and takes no more gradients: start another one"
        )


def check_not_expired(row: CalibrationRow) -> None:
    """Hold a calibration to have its gradients still.

    Raises:
        CalibrationClosed: when it has expired; says when.
    """
    if state_of(row, datetime.now(UTC)) == "expired":
        when = "" if row.expires is None else f" on {row.expires:%Y-%m-%d %H:%M} UTC"
        raise CalibrationClosed(
            f"calibration {row.id} expired{when}, and its gradients are not kept any longer: "
            "start another one"
        )


def state_of(row: CalibrationRow, now: datetime) -> CalibrationState:
    """A calibration's state; it expires on time, though its gradients go a little later."""
    if row.state == "expired" or (row.expires is not None and row.expires <= now):
        return "expired"
    return "open" if row.state == "open" else "finished"


def expire(session: Session, row: CalibrationRow, now: datetime) -> None:
    """Let a calibration's gradients go from now on; what was published of them stays."""
    if row.expires is None or row.expires > now:
        row.expires = now
    session.flush()


def search(
    session: Session, query: CalibrationQuery, namespace: str, now: datetime
) -> CalibrationList:
    """A page of calibrations as they are shown; see `find`."""
    rows, more = find(session, query, namespace, now)
    summaries = (CalibrationSummary.model_validate(_summary(row, now)) for row in rows)
    return CalibrationList(calibrations=tuple(summaries), next=more)


def find(
    session: Session, query: CalibrationQuery, namespace: str, now: datetime
) -> tuple[list[CalibrationRow], str | None]:
    """A page of calibrations, newest first, and the mark of the next one, if there is one.

    Args:
        session: a session.
        query: what to look for.
        namespace: what the caller may see.
        now: the time, which some have expired by.

    Raises:
        InvalidInput: when `after` is no mark of such a list, or there are too many words.
    """
    visible = namespaces.visible(CalibrationRow.namespace, namespace)
    found = list(
        session.scalars(
            select(CalibrationRow)
            .options(WITHOUT_MANIFEST)
            .where(visible, *_conditions(query, now))
            .order_by(CalibrationRow.created.desc(), CalibrationRow.id)
            .limit(query.limit + 1)
        )
    )
    rows = found[: query.limit]
    more = len(found) > len(rows)
    return rows, paging.mark_of(rows[-1].created, rows[-1].id) if more else None


def _conditions(query: CalibrationQuery, now: datetime) -> list[ColumnElement[bool]]:
    conditions = []
    for word in words_of(query.q):
        whole = func.lower(CalibrationRow.namespace + "/" + CalibrationRow.name)
        conditions.append(whole.contains(word, autoescape=True))
    if query.name is not None:
        namespace, name = parse_name(query.name)
        conditions += [CalibrationRow.namespace == namespace, CalibrationRow.name == name]
    if query.state is not None:
        expired = or_(CalibrationRow.state == "expired", CalibrationRow.expires <= now)
        lasting = or_(CalibrationRow.expires.is_(None), CalibrationRow.expires > now)
        conditions.append(
            expired
            if query.state == "expired"
            else and_(CalibrationRow.state == query.state, lasting)
        )
    if query.after is not None:
        created, calibration_id = paging.read_mark(query.after, str)
        conditions.append(
            paging.after(
                (CalibrationRow.created, True, created), (CalibrationRow.id, False, calibration_id)
            )
        )
    return conditions


def status(session: Session, row: CalibrationRow) -> CalibrationStatus:
    """A calibration as it is shown."""
    groups = []
    for group in manifest_of(row).groups:
        arrived = gradients.arrived(session, row.id, group.name)
        groups.append(
            GroupArrivals(
                name=group.name,
                expected=group.slots,
                arrived=tuple(index for index, _ in arrived),
                zero=sum(zero for _, zero in arrived),
            )
        )
    return CalibrationStatus(groups=tuple(groups), **_summary(row, datetime.now(UTC)))


def _summary(row: CalibrationRow, now: datetime) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": f"{row.namespace}/{row.name}",
        "state": state_of(row, now),
        "created": row.created,
        "created_by": row.created_by,
        "expires": row.expires,
        "job": row.job_id,
    }
