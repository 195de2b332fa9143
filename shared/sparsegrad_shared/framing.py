"""Tensors as a stream of bytes: the safetensors layout, written and read piece by piece.

A frame is 8 bytes (the header's length, little-endian), the header (JSON, padded with spaces to a
multiple of 8), then the tensors' bytes, row-major and little-endian, without holes. The library
`safetensors` reads and writes whole files; a gradient of 180 MB is sent and received in pieces,
so both sides need the header apart from the data. Frames are ordinary safetensors files: what
either side writes, the library reads.

Here a tensor is a name, a data type, a shape and bytes; NumPy and PyTorch stay with those who
have them.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from .digests import digest_of
from .errors import InvalidTensor, TruncatedBody

DType = Literal["float64", "float32", "float16", "bfloat16"]
DTYPES: tuple[DType, ...] = get_args(DType)
ITEM_SIZES: Mapping[DType, int] = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}

PIECE_BYTES = 256 * 1024
MAX_HEADER_BYTES = 64 * 1024
MAX_AXES = 8
MAX_BYTES = 1 << 63  # of a file, on any machine
_LENGTH = struct.Struct("<Q")
_CODES: Mapping[DType, str] = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
}
_DTYPES_BY_CODE: Mapping[str, DType] = {code: dtype for dtype, code in _CODES.items()}


@dataclass(frozen=True)
class TensorLayout:
    """Where a tensor lies in a frame's data: `begin` to `end`, in bytes after the header."""

    dtype: DType
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class FrameHeader:
    """What a frame says of itself before its data.

    Attributes:
        tensors: layouts by name, in the order of their data.
        metadata: the frame's texts.
        header_bytes: bytes before the data, the length field included.
        data_bytes: bytes of data.
    """

    tensors: Mapping[str, TensorLayout]
    metadata: Mapping[str, str]
    header_bytes: int
    data_bytes: int

    @property
    def total_bytes(self) -> int:
        """Bytes of the whole frame."""
        return self.header_bytes + self.data_bytes


@dataclass(frozen=True)
class RawTensor:
    """A tensor's bytes with what they mean.

    Attributes:
        dtype: data type of an entry.
        shape: entries along each axis, row-major.
        data: the bytes, little-endian; any contiguous buffer.
    """

    dtype: DType
    shape: tuple[int, ...]
    data: memoryview

    def __post_init__(self) -> None:
        expected = math.prod(self.shape) * ITEM_SIZES[self.dtype]
        if self.data.nbytes != expected:
            raise InvalidTensor(
                f"a {self.dtype} tensor of shape {self.shape} has {expected} bytes; "
                f"got {self.data.nbytes}"
            )


@dataclass(frozen=True)
class Frame:
    """Tensors ready to be sent: a size, a digest, and pieces of at most `PIECE_BYTES`.

    Iterating does not copy the tensors, and may be done again (a retry, a digest).
    """

    tensors: Mapping[str, RawTensor]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        yield self._header()
        for tensor in self.tensors.values():
            data = tensor.data.cast("B") if tensor.data.nbytes else memoryview(b"")
            for begin in range(0, data.nbytes, PIECE_BYTES):
                yield data[begin : begin + PIECE_BYTES]

    @property
    def size(self) -> int:
        """Bytes of the whole frame, for Content-Length."""
        return len(self._header()) + sum(tensor.data.nbytes for tensor in self.tensors.values())

    def digest(self) -> str:
        """The digest ``sha256:<hex>`` of the frame's bytes."""
        return digest_of(self)

    def _header(self) -> bytes:
        entries: dict[str, object] = {"__metadata__": dict(self.metadata)} if self.metadata else {}
        begin = 0
        for name, tensor in self.tensors.items():
            end = begin + tensor.data.nbytes
            entries[name] = {
                "dtype": _CODES[tensor.dtype],
                "shape": list(tensor.shape),
                "data_offsets": [begin, end],
            }
            begin = end
        text = json.dumps(entries, separators=(",", ":"))  # ASCII
        return header_bytes(text + " " * (-len(text) % 8))


def header_bytes(text: str) -> bytes:
    """The bytes before a frame's data: the header's length, and its text."""
    content = text.encode()
    return _LENGTH.pack(len(content)) + content


def header_text(head: bytes | memoryview) -> str:
    """The text of a parsed header, without its length; `header_bytes` makes the bytes again."""
    return bytes(head[_LENGTH.size :]).decode()


def header_length(prefix: bytes) -> int:
    """Bytes before a frame's data, read off its first 8 bytes.

    Raises:
        TruncatedBody: when there are fewer than 8.
        InvalidTensor: when the header is over `MAX_HEADER_BYTES`.
    """
    if len(prefix) < _LENGTH.size:
        raise TruncatedBody(f"a frame starts with 8 bytes of length; got {len(prefix)} bytes")
    (length,) = _LENGTH.unpack_from(prefix)
    if not 2 <= length <= MAX_HEADER_BYTES:
        raise InvalidTensor(
            f"a frame's header has 2 to {MAX_HEADER_BYTES} bytes; this one says {length}: "
            "is the body in safetensors format?"
        )
    return _LENGTH.size + int(length)


def parse_header(head: bytes) -> FrameHeader:
    """Read a frame's header; `head` holds at least `header_length(head)` bytes.

    Raises:
        TruncatedBody: when `head` ends before the header does.
        InvalidTensor: when the header is not one of a frame; says what is wrong in it.
    """
    length = header_length(head)
    if len(head) < length:
        raise TruncatedBody(f"the frame's header has {length} bytes; got {len(head)}")
    entries = _load_object(head[_LENGTH.size : length])
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise InvalidTensor("the frame's __metadata__ is not a map of texts")
    layouts = {name: _parse_layout(name, entry) for name, entry in entries.items()}
    ordered = dict(sorted(layouts.items(), key=lambda item: (item[1].begin, item[1].end)))
    data_bytes = _check_contiguous(ordered)
    return FrameHeader(ordered, metadata, header_bytes=length, data_bytes=data_bytes)


def _load_object(text: bytes) -> dict[str, object]:
    try:
        value = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidTensor(f"the frame's header is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidTensor(f"the frame's header is not a map but a {type(value).__name__}")
    return value


def _parse_layout(name: str, entry: object) -> TensorLayout:
    match entry:
        case {"dtype": str(code), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
            pass
        case _:
            raise InvalidTensor(f"tensor {name!r}: expected dtype, shape and data_offsets")
    dtype = _DTYPES_BY_CODE.get(code)
    if dtype is None:
        raise InvalidTensor(f"tensor {name!r}: expected {', '.join(_DTYPES_BY_CODE)}; got {code}")
    # Bounded, since JSON's numbers are not: their product would take for ever, and to write it too.
    if len(shape) > MAX_AXES or not all(map(_is_size, (*shape, begin, end))):
        raise InvalidTensor(
            f"tensor {name!r}: expected a shape of at most {MAX_AXES} whole numbers, and "
            f"data_offsets of two, all less than {MAX_BYTES}"
        )
    expected = math.prod(shape) * ITEM_SIZES[dtype]
    if end - begin != expected:
        raise InvalidTensor(
            f"tensor {name!r}: {code} of shape {shape} has {expected} bytes; "
            f"data_offsets give {begin} to {end}"
        )
    return TensorLayout(dtype, tuple(shape), begin, end)


def _is_size(number: object) -> bool:
    return type(number) is int and 0 <= number < MAX_BYTES


def _check_contiguous(layouts: Mapping[str, TensorLayout]) -> int:
    position = 0
    for name, layout in layouts.items():
        if layout.begin != position:
            raise InvalidTensor(
                f"tensor {name!r} begins at byte {layout.begin} of the data; "
                f"expected {position}: no holes, no overlaps"
            )
        position = layout.end
    return position
