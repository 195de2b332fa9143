"""Whether a body is the gradient that its slot takes. Pure: bytes in, tensors or an error out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sparsegrad_shared.calibrations import FORM_TENSORS, GradientForm, GroupSpec, Normalization
from sparsegrad_shared.errors import (
    InvalidInput,
    InvalidTensor,
    NonFiniteGradient,
    ShapeMismatch,
    SparseGradError,
    TruncatedBody,
)
from sparsegrad_shared.framing import (
    MAX_HEADER_BYTES,
    DType,
    FrameHeader,
    header_text,
    parse_header,
)

from ..hosvd.sums import checked_sums
from ..store.gradients import NUMPY_TYPES, Array
from .finite import inspect

_COUNT = re.compile(r"[0-9]{1,15}")
_SUMS_DTYPES: tuple[DType, ...] = ("float32", "float64")


@dataclass(frozen=True)
class CheckedGradient:
    """A good gradient.

    Attributes:
        form: dense, factored or sums.
        tensors: views of the body, by name.
        zero: whether it is zero throughout.
        count: gradients that it stands for.
        zero_count: how many of them are zero.
        header: the text of the frame's header.
    """

    form: GradientForm
    tensors: Mapping[str, Array]
    zero: bool
    count: int
    zero_count: int
    header: str


def check_gradient(
    body: memoryview, group: GroupSpec, index: int, normalize: Normalization
) -> CheckedGradient:
    """Read a body as the gradient at `index` of `group`.

    Args:
        body: a frame; the tensors of the result are views of it.
        group: what was announced.
        index: the slot.
        normalize: of the calibration's options; sums must have been normalised where they were
            summed.

    Raises:
        TruncatedBody: when the frame is longer than the body.
        InvalidTensor: when the body is no frame, or holds other tensors than a gradient's.
        ShapeMismatch: when a tensor has another shape or data type than the group's.
        NonFiniteGradient: when a tensor holds NaN or infinity; says how many.
        InvalidInput: when sums cannot be the Gram matrices of their gradients.
    """
    try:
        return _check(body, group, index, normalize)
    except SparseGradError as error:
        raise type(error)(f"gradient {group.name}/{index}: {error.message}") from None


def _check(
    body: memoryview, group: GroupSpec, index: int, normalize: Normalization
) -> CheckedGradient:
    header = parse_header(bytes(body[: MAX_HEADER_BYTES + 8]))
    if header.total_bytes > len(body):
        raise TruncatedBody(f"the frame has {header.total_bytes} bytes; got {len(body)}")
    if header.total_bytes < len(body):
        raise InvalidTensor(
            f"the frame has {header.total_bytes} bytes; {len(body)} came: nothing may follow it"
        )
    text = header_text(body[: header.header_bytes])
    form = _form(header)
    _check_layouts(header, form, group)
    tensors = {
        name: np.frombuffer(
            body[header.header_bytes + layout.begin : header.header_bytes + layout.end],
            NUMPY_TYPES[layout.dtype],
        ).reshape(layout.shape)
        for name, layout in header.tensors.items()
    }
    zero = _check_entries(tensors, header)
    if form != "sums":
        return CheckedGradient(form, tensors, zero, count=1, zero_count=int(zero), header=text)
    count, zero_count = _counts(header.metadata)
    if index >= group.gradients:
        raise InvalidInput("a held-out slot takes a gradient to judge the basis on, not sums")
    shape = group.d_out, group.d_in
    nonzero = count - zero_count
    checked_sums(tensors["A_in"], tensors["A_out"], shape, count=nonzero, normalize=normalize)
    return CheckedGradient(form, tensors, zero, count, zero_count, text)


def _form(header: FrameHeader) -> GradientForm:
    for form, names in FORM_TENSORS.items():
        if set(names) == set(header.tensors):
            return form
    expected = ", or ".join(" and ".join(names) for names in FORM_TENSORS.values())
    raise InvalidTensor(f"expected tensors {expected}; got {', '.join(header.tensors) or 'none'}")


def _check_layouts(header: FrameHeader, form: GradientForm, group: GroupSpec) -> None:
    d_out, d_in = group.d_out, group.d_in
    dtypes = _SUMS_DTYPES if form == "sums" else (group.dtype,)
    first = next(iter(header.tensors.values()))
    tokens = first.shape[0] if first.shape else 0
    expected = {
        "G": (d_out, d_in),
        "g": (tokens, d_out),
        "x": (tokens, d_in),
        "A_in": (d_in, d_in),
        "A_out": (d_out, d_out),
    }
    for name, layout in header.tensors.items():
        if layout.shape != expected[name]:
            raise ShapeMismatch(f"{name}: expected shape {expected[name]}, got {layout.shape}")
        if layout.dtype not in dtypes:
            raise ShapeMismatch(f"{name}: expected {' or '.join(dtypes)}, got {layout.dtype}")
    if tokens == 0:
        raise ShapeMismatch("expected g and x of at least one token; got none")


def _check_entries(tensors: Mapping[str, Array], header: FrameHeader) -> bool:
    """Hold every entry to be finite; answers whether the gradient is zero throughout."""
    contents = {name: inspect(array, header.tensors[name].dtype) for name, array in tensors.items()}
    for name, content in contents.items():
        if content.nan_or_infinite:
            raise NonFiniteGradient(
                f"{name}: {content.nan_or_infinite} of {tensors[name].size} entries are NaN or "
                "infinite; leave this step out, or lower the loss scale"
            )
    # The product of g and x is zero as soon as one of them is.
    return any(content.zero for content in contents.values())


def _counts(metadata: Mapping[str, str]) -> tuple[int, int]:
    """Gradients that were summed, and how many of them were zero."""
    texts = metadata.get("count", ""), metadata.get("zero_count", "0")
    if not all(map(_COUNT.fullmatch, texts)):
        raise InvalidInput(
            "sums say in the frame's metadata how many gradients they hold: count, and zero_count "
            f"where some of them are zero; got count {texts[0][:50]!r}, "
            f"zero_count {texts[1][:50]!r}"
        )
    count, zero_count = map(int, texts)
    if not (count >= 1 and 0 <= zero_count <= count):
        raise InvalidInput(
            f"expected a count of at least 1 and no more zeros than that; got count {count}, "
            f"zero_count {zero_count}"
        )
    return count, zero_count
