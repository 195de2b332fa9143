"""Whether every stored gradient is there, bit for bit.

A gradient's row has the SHA-256 of the body that was sent and the text of the body's header. The
stored tensors with that header give the body's bytes again, which are held to the digest: so each
gradient is checked from end to end, not only against its own checksum. A row of the first schema
has no header; there the header that our own client writes is tried, and where that is not the one
that was sent, only the CRC32C of the stored chunk is known to be right (`by checksum` below).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
from sqlalchemy import select, tuple_

from sparsegrad_shared.calibrations import FORM_TENSORS, GradientForm, GroupSpec
from sparsegrad_shared.digests import digest_of
from sparsegrad_shared.errors import CorruptFile, SparseGradError
from sparsegrad_shared.framing import Frame, RawTensor, header_bytes, parse_header

from ..catalog import calibrations
from ..catalog.gradients import Slot, find
from ..catalog.tables import CalibrationRow, GradientRow
from ..store.gradients import NUMPY_TYPES, Array, Tensors
from ..store.objects import StorageUnreachable
from .findings import Notes
from .parts import Parts

PAGE = 500  # rows read at a time
_RESTORE = "put its files back from a copy, or calibrate again"
_NAMES = {numpy_type: name for name, numpy_type in NUMPY_TYPES.items()}


def check_gradients(parts: Parts, notes: Notes) -> None:
    """Read every stored gradient, one at a time, and hold it to its row."""
    for row in _calibrations(parts):
        try:
            groups = {group.name: group for group in calibrations.manifest_of(row).groups}
        except ValueError as error:
            notes.add(f"calibration {row.id}", f"its manifest cannot be read: {error}", _RESTORE)
            continue
        for gradient in _stored(parts, row.id):
            wrong = _fault(parts, groups, gradient, notes)
            if wrong is not None and _is_still_there(parts, gradient):
                where = f"calibration {row.id}, gradient {gradient.group}/{gradient.index}"
                notes.add(where, wrong, _RESTORE)
            notes.looked_at["gradients"] += 1
            notes.read(gradient.bytes)


def _calibrations(parts: Parts) -> Iterator[CalibrationRow]:
    after = ""
    while True:
        with parts.catalog.reading() as session:
            page = list(
                session.scalars(
                    select(CalibrationRow)
                    .where(CalibrationRow.id > after)
                    .order_by(CalibrationRow.id)
                    .limit(PAGE)
                )
            )
        if not page:
            return
        yield from page
        after = page[-1].id


def _stored(parts: Parts, calibration_id: str) -> Iterator[GradientRow]:
    key = tuple_(GradientRow.group, GradientRow.index)
    after = ("", -1)
    while True:
        with parts.catalog.reading() as session:
            page = list(
                session.scalars(
                    select(GradientRow)
                    .where(
                        GradientRow.calibration_id == calibration_id,
                        GradientRow.state == "stored",
                        key > after,
                    )
                    .order_by(GradientRow.group, GradientRow.index)
                    .limit(PAGE)
                )
            )
        if not page:
            return
        yield from page
        after = page[-1].group, page[-1].index


def _fault(
    parts: Parts, groups: dict[str, GroupSpec], row: GradientRow, notes: Notes
) -> str | None:
    """What is wrong with a gradient, if anything is."""
    group = groups.get(row.group)
    if group is None or not 0 <= row.index < group.slots:
        return "the calibration's manifest has no such slot"
    form = cast(GradientForm, row.form)
    if form not in FORM_TENSORS:
        return f"its form is {row.form!r}, which there is not"
    try:
        tensors = parts.gradients.read(row.calibration_id, group, row.index, form)
    except CorruptFile as error:
        return error.message
    except StorageUnreachable:  # which says nothing of the gradient: no check without the store
        raise
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    return _compare(row, tensors, notes)


def _compare(row: GradientRow, tensors: Tensors, notes: Notes) -> str | None:
    try:
        body = _body(row.header, tensors)
    except (SparseGradError, KeyError) as error:
        return f"the tensors are not those that its header tells of: {error}"
    found = digest_of(body)
    if found == row.digest:
        notes.looked_at["gradients by digest"] += 1
        return None
    if row.header is None:
        notes.looked_at["gradients by checksum"] += 1
        return None
    return f"expected {row.digest}, found {found}: the stored bytes are not those that were sent"


def _body(header: str | None, tensors: Tensors) -> Iterator[bytes | memoryview]:
    """The bytes that were sent: the header, then the tensors in its order."""
    if header is None:
        frame = Frame({name: _raw(array) for name, array in tensors.items()})
        return iter(frame)
    head = header_bytes(header)
    layouts = parse_header(head).tensors
    raw = {name: _raw(tensors[name]) for name in layouts}
    for name, layout in layouts.items():
        if (raw[name].dtype, raw[name].shape) != (layout.dtype, layout.shape):
            raise CorruptFile(
                f"{name}: expected {layout.dtype} {layout.shape}, found {raw[name].dtype} "
                f"{raw[name].shape}"
            )
    return iter((head, *(tensor.data for tensor in raw.values())))


def _raw(array: Array) -> RawTensor:
    data = np.ascontiguousarray(array)
    return RawTensor(_NAMES[data.dtype], data.shape, data.reshape(-1).view(np.uint8).data)


def _is_still_there(parts: Parts, row: GradientRow) -> bool:
    """Whether the gradient is not one that expired while we looked."""
    with parts.catalog.reading() as session:
        now = find(session, Slot(row.calibration_id, row.group, row.index))
        return now is not None and now.state == "stored"
