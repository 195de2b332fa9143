"""A chunk made frame by frame is what Zarr's own codecs make, to whoever reads it."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numcodecs.zstd import decompress
from support.gradient_stores import any_bits
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import LocalStore

from sparsegrad_server.store import chunks
from sparsegrad_server.store.chunks import FRAME_BYTES, encoded
from sparsegrad_server.store.gradients import NUMPY_TYPES
from sparsegrad_shared.framing import DTYPES, DType


def trained(entries: int) -> np.ndarray:
    """Entries of all sizes, as gradients have them."""
    rng = np.random.default_rng(0)
    return (rng.standard_normal(entries) * np.exp(rng.standard_normal(entries))).astype("f4")


@pytest.mark.parametrize("beyond", [-4, 0, 4, FRAME_BYTES])
def test_plain_zarr_reads_a_chunk_of_one_frame_and_of_many(tmp_path: Path, beyond: int) -> None:
    array = trained((FRAME_BYTES + beyond) // 4)
    stored = zarr.create_array(
        LocalStore(tmp_path),
        shape=array.shape,
        chunks=array.shape,
        dtype=array.dtype,
        compressors=[ZstdCodec(level=1), Crc32cCodec()],
        fill_value=0,
    )
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "0").write_bytes(b"".join(encoded(array)))
    np.testing.assert_array_equal(np.asarray(stored[...]), array, strict=True)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_the_frames_hold_the_bits(dtype: DType, data: st.DataObject) -> None:
    shape = (data.draw(st.integers(1, 40)), data.draw(st.integers(1, 5)))
    array = data.draw(any_bits(shape, dtype))
    content = b"".join(encoded(array))
    assert decompress(content[:-4]) == array.tobytes()
    assert array.dtype == NUMPY_TYPES[dtype]


def test_a_frame_is_made_when_it_is_asked_for() -> None:
    pieces = encoded(trained(4 * FRAME_BYTES // 4))
    first = next(pieces)
    assert len(first) < 1.01 * FRAME_BYTES
    assert len(list(pieces)) == 4  # three more frames, and the checksum


@pytest.mark.parametrize(
    ("array", "dense"),
    [
        (trained(1 << 18), False),
        (trained(1 << 18).astype(ml_dtypes.bfloat16), False),
        (trained(1 << 18).astype(ml_dtypes.bfloat16).astype("f4"), True),
        (trained(1 << 18) * (np.arange(1 << 18) % 8 == 0), True),
    ],
)
def test_level_1_is_for_what_it_makes_much_smaller(array: np.ndarray, dense: bool) -> None:
    size = sum(map(len, encoded(array)))
    if dense:
        assert size < chunks.WORTHWHILE * array.nbytes
    else:
        assert array.nbytes < size < 1.001 * array.nbytes


def test_zeros_take_no_room_at_the_fast_level() -> None:
    array = trained(1 << 20)
    array[: 1 << 19] = 0  # the sample is of the middle
    assert sum(map(len, encoded(array))) < 0.51 * array.nbytes
