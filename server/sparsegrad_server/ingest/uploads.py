"""A gradient's way into its slot.

::

    admit    (reading)   may these bytes be sent at all?    before the body is read
    reserve  (writing)   the slot is this upload's
    stage                encoded, flushed, aside
    store    (writing)   still this upload's, still open: placed, `stored`, accumulation asked for

Placing is short, a rename or the request that ends an object's upload, and done within the
transaction that marks the row: an upload that was too slow, and whose slot another one took over,
cannot put its bytes where the other's are. Only after the commit is the gradient acknowledged.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from sparsegrad_shared.calibrations import GradientStored, GroupSpec, Normalization
from sparsegrad_shared.errors import InvalidInput

from ..auth.principal import Principal
from ..catalog import Catalog, calibrations, gradients, namespaces
from ..catalog.gradients import Arrival, Slot
from ..context import concern
from ..jobs.queue import request_accumulation
from ..settings import Settings
from ..store.gradients import GradientStore, Tensors
from .body import Body
from .check import check_gradient
from .receive import Promise, check_digest


@dataclass(frozen=True)
class Outcome:
    """What became of an upload; `new` is False when the same bytes were stored before."""

    stored: GradientStored
    new: bool


@dataclass(frozen=True)
class Announced:
    """What was said of a slot's gradient when its calibration was opened."""

    group: GroupSpec
    normalize: Normalization


class Uploads:
    """Takes gradients that were received into the store.

    Args:
        catalog: where slots are given out.
        store: where gradients are kept.
        settings: quota, and how long a reservation holds.
    """

    def __init__(self, catalog: Catalog, store: GradientStore, settings: Settings) -> None:
        self._catalog = catalog
        self._store = store
        self._quota = settings.max_namespace_bytes
        self._reservation = timedelta(seconds=settings.reservation_seconds)

    def admit(self, principal: Principal, slot: Slot, promise: Promise) -> Announced:
        """Refuse an upload that could only fail, before its body is read.

        Returns:
            What its body is held to.

        Raises:
            UnknownCalibration: no such calibration, or not for this token.
            UnknownGroup: no such group.
            InvalidInput: no such index.
            CalibrationClosed: it was finished.
            SlotTaken: another gradient is stored there.
            SlotBusy: a live upload writes there.
            QuotaExceeded: the namespace is full.
        """
        with self._catalog.reading() as session:
            row = calibrations.get(session, slot.calibration_id)
            if not principal.sees(row.namespace):
                raise calibrations.unknown(slot.calibration_id)
            concern(row.namespace, slot.calibration_id, repeated=True)
            group = calibrations.group_of(row, slot.group)
            _check_index(group, slot)
            # The same bytes again are fine at any time, for a client whose answer was lost.
            found = gradients.find(session, slot)
            if gradients.check_free(found, slot, promise.digest, datetime.now(UTC)):
                calibrations.check_open(row)
                namespaces.check_quota(session, row.namespace, promise.size, self._quota)
        return Announced(group, calibrations.manifest_of(row).options.normalize)

    def keep(self, slot: Slot, announced: Announced, promise: Promise, body: Body) -> Outcome:
        """Check a received body and store it; it is on disk when this returns.

        Raises:
            DigestMismatch: the body is not the promised one.
            InvalidInput: it is not the gradient that the slot takes (see `check_gradient`).
            Conflict: see `admit`; things may have changed while the body came.
        """
        check_digest(body, promise)
        checked = check_gradient(body.content(), announced.group, slot.index, announced.normalize)
        arrival = Arrival(
            digest=promise.digest,
            form=checked.form,
            zero=checked.zero,
            bytes=promise.size,
            count=checked.count,
            zero_count=checked.zero_count,
            header=checked.header,
        )
        stored = GradientStored(
            group=slot.group,
            index=slot.index,
            digest=arrival.digest,
            form=arrival.form,
            zero=arrival.zero,
        )
        upload = uuid.uuid4().hex
        if not self._reserve(slot, arrival, upload):
            return Outcome(stored, new=False)
        try:
            self._write(slot, announced.group, checked.tensors, upload)
        except BaseException:
            # If this fails too, the reservation ends by itself, and the first error is the one.
            with suppress(SQLAlchemyError), self._catalog.writing() as session:
                gradients.release(session, slot, upload)
            raise
        return Outcome(stored, new=True)

    def _reserve(self, slot: Slot, arrival: Arrival, upload: str) -> bool:
        now = datetime.now(UTC)
        with self._catalog.writing() as session:
            calibration = calibrations.share(session, slot.calibration_id)
            new = gradients.reserve(
                session, slot, arrival, upload, now, self._reservation, self._quota
            )
            if new:
                calibrations.check_open(calibration)
        return new

    def _write(self, slot: Slot, group: GroupSpec, tensors: Tensors, upload: str) -> None:
        with (
            self._store.stage(slot.calibration_id, group, slot.index, tensors) as staged,
            self._catalog.writing() as session,
        ):
            calibrations.check_open(calibrations.share(session, slot.calibration_id))
            row = gradients.held(session, slot, upload)
            staged.place()
            row.state = "stored"
            request_accumulation(session, slot.calibration_id)


def _check_index(group: GroupSpec, slot: Slot) -> None:
    if slot.index >= group.slots:
        raise InvalidInput(
            f"{slot}: the group has slots 0 to {group.slots - 1} "
            f"({group.gradients} to fit on, {group.held_out} held out)"
        )
