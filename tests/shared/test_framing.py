"""Frames: what we write the safetensors library reads, and the other way round."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_shared.errors import InvalidTensor, TruncatedBody
from sparsegrad_shared.framing import (
    DTYPES,
    ITEM_SIZES,
    MAX_HEADER_BYTES,
    PIECE_BYTES,
    DType,
    Frame,
    RawTensor,
    header_bytes,
    header_length,
    header_text,
    parse_header,
)

shapes = st.lists(st.integers(0, 5), min_size=0, max_size=3).map(tuple)


@st.composite
def raw_tensors(draw: st.DrawFn) -> RawTensor:
    dtype: DType = draw(st.sampled_from(DTYPES))
    shape = draw(shapes)
    size = math.prod(shape) * ITEM_SIZES[dtype]
    return RawTensor(dtype, shape, memoryview(draw(st.binary(min_size=size, max_size=size))))


names = st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__")
frames = st.builds(
    Frame,
    st.dictionaries(names, raw_tensors(), max_size=4),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)


def framed(entries: object, data: bytes = b"") -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


@given(frames)
def test_a_frame_is_read_back_with_every_byte_in_its_place(frame: Frame) -> None:
    content = b"".join(frame)
    header = parse_header(content)
    assert header.total_bytes == len(content) == frame.size
    assert header.header_bytes % 8 == 0
    assert header.metadata == frame.metadata
    assert set(header.tensors) == set(frame.tensors)
    for name, layout in header.tensors.items():
        data = content[header.header_bytes :][layout.begin : layout.end]
        assert data == frame.tensors[name].data.tobytes()
        assert (layout.dtype, layout.shape) == (
            frame.tensors[name].dtype,
            frame.tensors[name].shape,
        )


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_the_safetensors_library_reads_what_we_write(rows: int, columns: int, seed: int) -> None:
    array = np.random.default_rng(seed).normal(size=(rows, columns))
    frame = Frame({"G": RawTensor("float64", array.shape, memoryview(array))})
    loaded = safetensors.numpy.load(b"".join(frame))
    np.testing.assert_array_equal(loaded["G"], array)


@given(st.integers(1, 40), st.integers(1, 40))
def test_we_read_what_the_safetensors_library_writes(rows: int, columns: int) -> None:
    array = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    content = safetensors.numpy.save({"g": array, "x": array.T.copy()}, metadata={"count": "3"})
    header = parse_header(content)
    assert header.metadata == {"count": "3"}
    assert header.total_bytes == len(content)
    layout = header.tensors["g"]
    data = content[header.header_bytes :][layout.begin : layout.end]
    np.testing.assert_array_equal(np.frombuffer(data, np.float32).reshape(layout.shape), array)


def test_a_large_frame_comes_in_small_pieces_without_copying() -> None:
    array = np.zeros((1024, 1024), dtype=np.float32)
    frame = Frame({"G": RawTensor("float32", array.shape, memoryview(array))})
    pieces = list(frame)
    assert max(len(piece) for piece in pieces) <= PIECE_BYTES
    assert all(np.shares_memory(np.frombuffer(piece, np.uint8), array) for piece in pieces[1:])
    assert frame.digest() == frame.digest()


@given(frames, st.data())
def test_a_header_cut_short_is_truncated_whatever_the_cut(
    frame: Frame, data: st.DataObject
) -> None:
    content = b"".join(frame)
    cut = data.draw(st.integers(0, header_length(content) - 1))
    with pytest.raises(TruncatedBody):
        parse_header(content[:cut])


@given(st.binary(min_size=8, max_size=200))
def test_arbitrary_bytes_are_refused_never_a_crash(content: bytes) -> None:
    try:
        parse_header(content)
    except (InvalidTensor, TruncatedBody):
        return
    assert json.loads(content[8 : header_length(content)]) is not None


ENTRY = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (struct.pack("<Q", MAX_HEADER_BYTES + 1) + b"{}", "this one says 65537"),
        (struct.pack("<Q", 2**63) + b"{}", "safetensors format"),
        (framed(b"not json"), "not JSON"),
        (framed(b"[" * 20_000), "not JSON"),
        (framed([1]), "not a map"),
        (framed({"G": 1}), "'G': expected dtype"),
        (framed({"G": ENTRY | {"dtype": "I64"}}), "expected F64, F32"),
        (framed({"G": ENTRY | {"shape": [2, -2]}}), "whole numbers"),
        (framed({"G": ENTRY | {"shape": [2, True]}}), "whole numbers"),
        (framed({"G": ENTRY | {"shape": [2, 3]}}), "has 24 bytes"),
        (framed({"G": ENTRY | {"data_offsets": [8, 24]}}), "no holes"),
        (framed({"G": ENTRY, "H": ENTRY}), "no overlaps"),
        (framed({"__metadata__": {"count": 3}}), "map of texts"),
    ],
)
def test_a_malformed_header_is_refused_by_what_is_wrong_in_it(content: bytes, message: str) -> None:
    with pytest.raises(InvalidTensor, match=message):
        parse_header(content)


def test_a_tensor_whose_bytes_do_not_fit_its_shape_cannot_be_made() -> None:
    with pytest.raises(InvalidTensor, match="has 16 bytes; got 3"):
        RawTensor("float32", (2, 2), memoryview(b"abc"))


@given(frames)
def test_a_headers_text_gives_its_bytes_again(frame: Frame) -> None:
    content = b"".join(frame)
    head = content[: parse_header(content).header_bytes]
    assert header_bytes(header_text(head)) == head
