"""Slots in the catalog: who writes them, and what is stored.

::

    (no row) ──reserve──► writing ──mark_stored──► stored
       ▲                   │   ▲
       └──────release──────┘   └─reserve, once the reservation has run out

A slot is reserved by one upload at a time. `reserved_by` is its fence: an upload that was taken
for dead, and whose slot another one took over, can change nothing any more.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, defer

from sparsegrad_shared.calibrations import GradientForm, GroupSpec
from sparsegrad_shared.errors import SlotBusy, SlotTaken

from . import namespaces
from .inserting import insert_if_absent
from .tables import CalibrationRow, GradientRow

BUSY_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Slot:
    """A place for one gradient."""

    calibration_id: str
    group: str
    index: int

    def __str__(self) -> str:
        return f"gradient {self.group}/{self.index}"


@dataclass(frozen=True)
class Arrival:
    """A gradient that has arrived whole and was found good.

    Attributes:
        digest: of the body's bytes.
        form: dense, factored or sums.
        zero: whether it is zero throughout.
        bytes: of the body.
        count: gradients that it stands for.
        zero_count: how many of them are zero.
        header: the text of the body's frame header, if it is known.
    """

    digest: str
    form: GradientForm
    zero: bool
    bytes: int
    count: int
    zero_count: int
    header: str | None = None


def stored(session: Session, calibration_id: str, group: str) -> list[GradientRow]:
    """The stored gradients of a group, rising by index; without their headers.

    A client may make each header 64 KiB long, and there may be a hundred thousand of them.
    """
    rows = select(GradientRow).options(defer(GradientRow.header, raiseload=True))
    of_group = rows.where(*_stored_in(calibration_id, group))
    return list(session.scalars(of_group.order_by(GradientRow.index)))


def arrived(session: Session, calibration_id: str, group: str) -> list[tuple[int, bool]]:
    """The index of each stored gradient of a group, rising, and whether it is zero throughout."""
    found = select(GradientRow.index, GradientRow.zero).where(*_stored_in(calibration_id, group))
    return [(index, zero) for index, zero in session.execute(found.order_by(GradientRow.index))]


def can_be_fitted(session: Session, calibration_id: str, group: GroupSpec) -> bool:
    """Whether a gradient that is not zero throughout is stored to fit the group's basis on."""
    found = select(GradientRow.index).where(
        *_stored_in(calibration_id, group.name),
        GradientRow.index < group.gradients,
        GradientRow.zero_count < GradientRow.count,
    )
    return session.scalar(found.limit(1)) is not None


def find(session: Session, slot: Slot) -> GradientRow | None:
    """The slot's row, as it is in the database now."""
    return session.get(GradientRow, _key(slot), populate_existing=True)


def check_free(row: GradientRow | None, slot: Slot, digest: str, now: datetime) -> bool:
    """Whether these bytes may still be written there: False when they are stored already.

    Raises:
        SlotTaken: when another gradient is stored there.
        SlotBusy: when a live upload writes there.
    """
    if row is None:
        return True
    if row.state == "stored":
        if row.digest != digest:
            raise SlotTaken(
                f"{slot}: another one is stored there, {row.digest}; this is {digest}. "
                "A stored gradient is never replaced"
            )
        return False
    if row.reserved_until > now:
        raise _busy(slot)
    return True


def reserve(
    session: Session,
    slot: Slot,
    arrival: Arrival,
    upload: str,
    now: datetime,
    duration: timedelta,
    quota: int | None = None,
) -> bool:
    """Reserve a slot for `upload`; False when the same bytes are stored there already.

    From here on its bytes count as the namespace's, which may hold `quota`.

    Raises:
        SlotTaken: when another gradient is stored there.
        SlotBusy: when a live upload writes there.
        QuotaExceeded: when the namespace would hold too much.
    """
    row = _locked(session, slot)
    if not check_free(row, slot, arrival.digest, now):
        return False
    values = asdict(arrival)
    values |= {"state": "writing", "reserved_by": upload, "reserved_until": now + duration}
    # What a dead upload had reserved there is given back with the same stroke.
    freed = 0 if row is None else row.bytes
    if row is not None:
        for name, value in values.items():
            setattr(row, name, value)
    elif not insert_if_absent(session, GradientRow, **asdict(slot), **values):
        raise _busy(slot)  # another upload was quicker by a moment
    _charge(session, slot, arrival.bytes - freed, quota)
    session.flush()
    return True


def held(session: Session, slot: Slot, upload: str) -> GradientRow:
    """The slot's row, as long as `upload` has it reserved.

    Raises:
        SlotBusy: when it is another upload's by now.
    """
    row = _locked(session, slot)
    if row is None or row.state != "writing" or row.reserved_by != upload:
        raise SlotBusy(
            f"{slot}: this upload took so long that another one took over; send it again",
            retry_after=BUSY_RETRY_SECONDS,
        )
    return row


def release(session: Session, slot: Slot, upload: str) -> None:
    """Give a slot back whose upload failed; nothing when it is another upload's by now."""
    row = _locked(session, slot)
    if row is not None and row.state == "writing" and row.reserved_by == upload:
        _charge(session, slot, -row.bytes)
        session.delete(row)


def _stored_in(calibration_id: str, group: str) -> tuple[ColumnElement[bool], ...]:
    return (
        GradientRow.calibration_id == calibration_id,
        GradientRow.group == group,
        GradientRow.state == "stored",
    )


def _locked(session: Session, slot: Slot) -> GradientRow | None:
    """The slot's row, which no other transaction changes until this one ends."""
    return session.get(GradientRow, _key(slot), populate_existing=True, with_for_update=True)


def _key(slot: Slot) -> tuple[str, str, int]:
    return slot.calibration_id, slot.group, slot.index


def _busy(slot: Slot) -> SlotBusy:
    return SlotBusy(
        f"{slot}: another upload is writing it now; come again in a moment",
        retry_after=BUSY_RETRY_SECONDS,
    )


def _charge(session: Session, slot: Slot, bytes_more: int, quota: int | None = None) -> None:
    calibration = session.get_one(CalibrationRow, slot.calibration_id)
    namespaces.charge(session, calibration.namespace, bytes_more, quota)
