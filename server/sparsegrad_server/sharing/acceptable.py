"""Whether a basis that comes from elsewhere is one.

What this server computed needs no such look. What was uploaded may say anything, and would be
loaded by everyone on the team.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from pydantic import ValidationError

from sparsegrad_shared.bases import (
    BASIS_TENSORS,
    REPORT_FILE,
    BasisGroup,
    BasisManifest,
    basis_file,
)
from sparsegrad_shared.calibrations import MAX_EXTENT, MAX_GROUPS
from sparsegrad_shared.errors import (
    BodyTooLarge,
    InvalidInput,
    InvalidTensor,
    ShapeMismatch,
    TruncatedBody,
)
from sparsegrad_shared.framing import (
    ITEM_SIZES,
    MAX_HEADER_BYTES,
    DType,
    FrameHeader,
    parse_header,
)
from sparsegrad_shared.report import BasisReport, GradientSample

from ..store.gradients import NUMPY_TYPES, Array
from .orthonormal import PROBES, TOLERANCE, deviation

MAX_REPORT_BYTES = 32 << 20  # 1,000 groups, each with its spectra and its picture


def check_manifest(manifest: BasisManifest, limit: int) -> None:
    """Hold a manifest to what a basis can be, before any of its files is sent.

    Args:
        manifest: what the client says.
        limit: bytes that the files may have in all.

    Raises:
        InvalidInput: when it contradicts itself; says where.
        BodyTooLarge: when the files are over the limit.
    """
    if not 1 <= len(manifest.groups) <= MAX_GROUPS:
        raise InvalidInput(f"expected 1 to {MAX_GROUPS} groups, got {len(manifest.groups)}")
    _check_unique("group", (group.name for group in manifest.groups))
    _check_unique("layer", (layer for group in manifest.groups for layer in group.layers))
    for group in manifest.groups:
        _check_group(group)
    if manifest.report.name != REPORT_FILE:
        raise InvalidInput(f"the report is {REPORT_FILE}; got {manifest.report.name!r}")
    if manifest.report.bytes > MAX_REPORT_BYTES:
        raise BodyTooLarge(
            f"{REPORT_FILE}: expected at most {MAX_REPORT_BYTES} bytes, got {manifest.report.bytes}"
        )
    total = sum(entry.bytes for entry in manifest.files())
    if total > limit:
        raise BodyTooLarge(f"this server takes bases of at most {limit} bytes; this has {total}")


def check_group_file(content: memoryview, group: BasisGroup) -> None:
    """Hold a group's file to the group: names, types and shapes, and that it is a basis.

    Raises:
        TruncatedBody: when it is shorter than a frame's header.
        InvalidTensor: when it is no frame, or holds what no basis does; says what.
        ShapeMismatch: when a tensor has another shape or type.
    """
    try:
        _check_content(content, group)
    except (InvalidTensor, TruncatedBody) as error:
        raise type(error)(f"{group.file.name}: {error.message}") from None


def check_report(content: bytes, manifest: BasisManifest) -> None:
    """Hold a report to be one, of the manifest's groups.

    Raises:
        InvalidInput: when it is not; says why.
    """
    try:
        report = BasisReport.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"{REPORT_FILE}: {where}: {first['msg']}") from None
    judged = [group.name for group in report.groups]
    named = [group.name for group in manifest.groups]
    if judged != named:
        raise InvalidInput(f"{REPORT_FILE}: expected groups {named}, found {judged}")
    for group, said in zip(manifest.groups, report.groups, strict=True):
        if said.sample is not None:
            _check_sample(group, said.sample)


def _check_sample(group: BasisGroup, sample: GradientSample) -> None:
    for where, matrix, expected in (
        ("original", sample.original, (group.d_out, group.d_in)),
        ("basis", sample.basis, (group.rank_out, group.rank_in)),
    ):
        found = matrix.rows, matrix.columns
        if found != expected:
            raise InvalidInput(
                f"{REPORT_FILE}: group {group.name}: expected a sample in the {where} space of "
                f"{expected[0]} x {expected[1]}, found {found[0]} x {found[1]}"
            )


def _check_unique(what: str, names: Iterable[str]) -> None:
    for name, times in Counter(names).most_common(1):
        if times > 1:
            raise InvalidInput(f"{what} {name!r} is named more than once")


def _check_group(group: BasisGroup) -> None:
    where = f"group {group.name}"
    if not group.layers:
        raise InvalidInput(f"{where}: expected at least one layer")
    if group.file.name != basis_file(group.name):
        raise InvalidInput(
            f"{where}: its file is {basis_file(group.name)}; got {group.file.name!r}"
        )
    for side, rank, extent in (
        ("out", group.rank_out, group.d_out),
        ("in", group.rank_in, group.d_in),
    ):
        if not 1 <= rank <= extent <= MAX_EXTENT:
            raise InvalidInput(
                f"{where}: expected 1 <= rank_{side} <= d_{side} <= {MAX_EXTENT}, "
                f"got rank_{side} {rank}, d_{side} {extent}"
            )
    if not 0 <= group.zero_gradients <= group.gradients or group.held_out < 0:
        raise InvalidInput(f"{where}: counts of gradients that contradict one another")
    least = _tensor_bytes(group)
    if not least < group.file.bytes <= least + MAX_HEADER_BYTES + 8:
        raise InvalidInput(
            f"{where}: a file of its tensors has a little over {least} bytes; "
            f"got {group.file.bytes}"
        )


def _layouts(group: BasisGroup) -> dict[str, tuple[DType, tuple[int, ...]]]:
    return {
        "U": ("float32", (group.d_in, group.rank_in)),
        "V": ("float32", (group.d_out, group.rank_out)),
        "eigenvalues_in": ("float64", (group.rank_in,)),
        "eigenvalues_out": ("float64", (group.rank_out,)),
    }


def _tensor_bytes(group: BasisGroup) -> int:
    return sum(
        ITEM_SIZES[dtype] * int(np.prod(shape, dtype=object))
        for dtype, shape in _layouts(group).values()
    )


def _check_content(content: memoryview, group: BasisGroup) -> None:
    header = parse_header(bytes(content[: MAX_HEADER_BYTES + 8]))
    if header.total_bytes != len(content):
        raise InvalidTensor(f"the frame has {header.total_bytes} bytes; the file {len(content)}")
    if set(header.tensors) != set(BASIS_TENSORS):
        raise InvalidTensor(
            f"expected tensors {', '.join(BASIS_TENSORS)}; got {', '.join(header.tensors)}"
        )
    for name, (dtype, shape) in _layouts(group).items():
        layout = header.tensors[name]
        if (layout.dtype, layout.shape) != (dtype, shape):
            raise ShapeMismatch(
                f"{name}: expected {dtype} of shape {shape}, got {layout.dtype} of {layout.shape}"
            )
    for name in ("eigenvalues_in", "eigenvalues_out"):
        _check_eigenvalues(name, _array(content, header, name))
    for name in ("U", "V"):
        _check_orthonormal(name, _array(content, header, name))


def _array(content: memoryview, header: FrameHeader, name: str) -> Array:
    layout = header.tensors[name]
    array = np.frombuffer(
        content,
        NUMPY_TYPES[layout.dtype],
        count=int(np.prod(layout.shape)),
        offset=header.header_bytes + layout.begin,
    )
    return array.reshape(layout.shape)


def _check_eigenvalues(name: str, values: Array) -> None:
    if not np.isfinite(values).all() or values.min() < 0 or (np.diff(values) > 0).any():
        raise InvalidTensor(f"{name}: expected finite values of at least 0, falling")


def _check_orthonormal(name: str, matrix: Array) -> None:
    off = deviation(matrix)
    if not off <= TOLERANCE:  # NaN is not
        raise InvalidTensor(
            f"{name}: its columns are not orthonormal: off by {off:.1e} where {TOLERANCE:.0e} "
            f"is allowed ({PROBES} random probes)"
        )
