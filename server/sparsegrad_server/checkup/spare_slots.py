"""Slots that a dead upload holds, and what uploads that died have left in slots.

A slot is cleared the way it is filled: reserved first, then, while the reservation is held,
emptied and given back. An upload that comes meanwhile is told to come again, and one that took
over is left alone. A stored gradient is never touched; what lies beside it, of another form, can
only be of an upload that died, since a slot is stored once and for all.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import get_args

from sqlalchemy import select

from sparsegrad_shared.calibrations import GradientForm
from sparsegrad_shared.errors import SlotBusy, SlotTaken

from ..catalog import gradients
from ..catalog.gradients import Arrival, Slot
from ..catalog.tables import CalibrationRow, GradientRow
from ..store.footprint import Holding
from .parts import Parts
from .spare import Age, Spare

_NOTHING = Arrival("", "dense", zero=False, bytes=0, count=0, zero_count=0)


def spare_slots(parts: Parts, age: Age) -> Iterator[Spare]:
    """Slots to clear, and gradients' left-overs beside stored ones."""
    with parts.catalog.reading() as session:
        kept = CalibrationRow.state != "expired"
        names = list(session.scalars(select(CalibrationRow.id).where(kept)))
    for name in sorted(names):
        yield from _of_calibration(parts, name, age)


def _of_calibration(parts: Parts, name: str, age: Age) -> Iterator[Spare]:
    # What lies there is read before the rows: an upload has its row before it has files.
    lying: dict[Slot, list[Holding]] = defaultdict(list)
    for held in parts.gradients.holdings(name):
        lying[Slot(name, held.group, held.index)].append(held)
    forms, dead = _rows(parts, name, age)
    for slot in sorted(lying.keys() | dead, key=lambda slot: (slot.group, slot.index)):
        size = sum(held.bytes for held in lying.get(slot, ()))
        if slot in dead or slot not in forms:
            what = f"slot of an upload that died: {name}, {slot.group}/{slot.index}"
            yield Spare(what, size, partial(_clear, parts, slot))
            continue
        if forms[slot] is None:
            continue  # an upload writes there now
        for form in sorted({held.form for held in lying[slot]} - {forms[slot]}):
            size = sum(held.bytes for held in lying[slot] if held.form == form)
            what = f"{form} left-over beside a stored one: {name}, {slot.group}/{slot.index}"
            yield Spare(what, size, partial(_discard, parts, slot, form))


def _rows(parts: Parts, name: str, age: Age) -> tuple[dict[Slot, GradientForm | None], set[Slot]]:
    """The form of each slot that has a row, None while it is written; and the slots of the dead."""
    forms: dict[Slot, GradientForm | None] = {}
    dead = set()
    # Not whole rows: there may be a hundred thousand, each with a header of 64 KiB.
    of_calibration = select(
        GradientRow.group,
        GradientRow.index,
        GradientRow.state,
        GradientRow.form,
        GradientRow.reserved_until,
    ).where(GradientRow.calibration_id == name)
    with parts.catalog.reading() as session:
        for group, index, state, form, reserved_until in session.execute(of_calibration):
            slot = Slot(name, group, index)
            forms[slot] = form if state == "stored" else None  # type: ignore[assignment]
            if state == "writing" and age.is_over(reserved_until):
                dead.add(slot)
    return forms, dead


def _clear(parts: Parts, slot: Slot) -> bool:
    upload = f"gc-{uuid.uuid4().hex}"
    duration = timedelta(seconds=parts.settings.reservation_seconds)
    try:
        with parts.catalog.writing() as session:
            gradients.reserve(session, slot, _NOTHING, upload, datetime.now(UTC), duration)
        with parts.catalog.writing() as session:
            gradients.held(session, slot, upload)
            for form in get_args(GradientForm):
                parts.gradients.discard(slot.calibration_id, slot.group, slot.index, form)
            gradients.release(session, slot, upload)
    except (SlotBusy, SlotTaken):
        return False  # an upload has come: the slot is in use again
    return True


def _discard(parts: Parts, slot: Slot, form: GradientForm) -> bool:
    parts.gradients.discard(slot.calibration_id, slot.group, slot.index, form)
    return True
