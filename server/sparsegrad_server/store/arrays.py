"""How gradients lie in Zarr (version 3), wherever the bytes are kept: pure, bytes in and out.

::

    <calibration>/                      group; attribute `calibration`
        <group>/                        group; attributes `dtype`, `layers`
            dense/                      array (slots, d_out, d_in), a chunk a slot
            g.<index>/, x.<index>/      arrays (T, d_out) and (T, d_in), one chunk each
            A_in.<index>/               array (d_in, d_in), one chunk
            A_out.<index>/              array (d_out, d_out), one chunk

A chunk is a file or an object of its own, unsharded: two writers never meet in one. What a chunk
holds is `chunks`' part. Empty chunks are written, since otherwise a gradient of zeros and a lost
one look alike. Zarr has no bfloat16 yet: such a gradient is stored as its 16 bits (uint16), with
the attribute `dtype` saying what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import ml_dtypes
import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.core.buffer import cpu
from zarr.storage import MemoryStore

from sparsegrad_shared.calibrations import FORM_TENSORS, CalibrationManifest, GradientForm
from sparsegrad_shared.errors import CorruptFile
from sparsegrad_shared.framing import DType

from .gradients import NUMPY_TYPES, Array

Bytes = bytes | memoryview

METADATA = "zarr.json"
DENSE = "dense"
ONLY_CHUNK = "c.0.0"
_DENSE_AXES = ("slot", "d_out", "d_in")
_AXES = {
    "g": ("token", "d_out"),
    "x": ("token", "d_in"),
    "A_in": ("d_in", "d_in_again"),
    "A_out": ("d_out", "d_out_again"),
}
_FORMS: Mapping[str, GradientForm] = {
    name: form for form, names in FORM_TENSORS.items() if form != "dense" for name in names
}
_FILE = re.compile(
    rf"(?P<group>[^/]+)/(?:{DENSE}/c\.(?P<slot>\d+)\.0\.0"
    rf"|(?P<name>{'|'.join(_FORMS)})\.(?P<index>\d+)/[^/]+)"
)


def dense_chunk(index: int) -> str:
    """The name of a slot's chunk, within the array `dense`."""
    return f"c.{index}.0.0"


def array_of(name: str, index: int) -> str:
    """The name of the array that holds a tensor of a slot, if it is not dense."""
    return f"{name}.{index}"


def files_of(index: int, form: GradientForm) -> list[str]:
    """The files of a gradient, by path below its group."""
    if form == "dense":
        return [f"{DENSE}/{dense_chunk(index)}"]
    homes = [array_of(name, index) for name in FORM_TENSORS[form]]
    return [f"{home}/{file}" for home in homes for file in (METADATA, ONLY_CHUNK)]


def place_of(path: str) -> tuple[str, int, GradientForm] | None:
    """Group, index and form of the gradient that a file, by path below its calibration, is of.

    None when it is of the group, and not of a gradient.
    """
    match = _FILE.fullmatch(path)
    if match is None:
        return None
    if match["slot"] is not None:
        return match["group"], int(match["slot"]), "dense"
    return match["group"], int(match["index"]), _FORMS[match["name"]]


def calibration_metadata(calibration_id: str, manifest: CalibrationManifest) -> dict[str, bytes]:
    """Zarr's own files of a new calibration, by path; the calibration's own is the last."""
    store = MemoryStore()
    zarr.create_group(store, attributes={"calibration": calibration_id})
    for group in manifest.groups:
        attributes = {"dtype": group.dtype, "layers": list(group.layers)}
        zarr.create_group(store, path=group.name, attributes=attributes)
        shape = (group.slots, group.d_out, group.d_in)
        path = f"{group.name}/{DENSE}"
        _create(store, path, shape, (1, *shape[1:]), group.dtype, _DENSE_AXES)
    return dict(sorted(_contents(store).items(), key=lambda item: -item[0].count("/")))


def array_metadata(name: str, array: Array) -> bytes:
    """Zarr's own file of an array that holds one tensor, in one chunk."""
    dtype = next(known for known, numpy_type in NUMPY_TYPES.items() if numpy_type == array.dtype)
    store = MemoryStore()
    _create(store, "", array.shape, array.shape, dtype, _AXES[name])
    return _contents(store)[METADATA]


def read_gradient(
    read: Callable[[str], Bytes], calibration_id: str, group: str, index: int, form: GradientForm
) -> dict[str, Array]:
    """A stored gradient, from its files.

    Args:
        read: gives a file's bytes, by its path below the store's root.
        calibration_id: the folder of its calibration.
        group: the folder of its group within.
        index: its slot.
        form: dense, factored or sums.

    Raises:
        CorruptFile: when a file is missing or damaged; names the gradient and the file.
        OSError: when a file cannot be read.
    """
    if form == "dense":
        chunks: dict[str, tuple[str, str, int | slice]] = {"G": (DENSE, dense_chunk(index), index)}
    else:
        chunks = {
            name: (array_of(name, index), ONLY_CHUNK, slice(None)) for name in FORM_TENSORS[form]
        }
    where = f"{calibration_id}: gradient {group}/{index}"
    tensors = {}
    for name, (array, chunk, selection) in chunks.items():
        paths = [f"{array}/{file}" for file in (METADATA, chunk)]
        try:
            metadata, content = (read(f"{calibration_id}/{group}/{path}") for path in paths)
        except FileNotFoundError:
            raise CorruptFile(
                f"{where}: {paths[0]} or {paths[1]} is missing; put it back from a copy"
            ) from None
        try:
            tensors[name] = decoded(metadata, chunk, content, selection)
        except ValueError as error:
            raise CorruptFile(f"{where}, {name}: the stored bytes are damaged: {error}") from error
    return tensors


def decoded(metadata: Bytes, chunk: str, content: Bytes, selection: int | slice) -> Array:
    """A chunk's array, held to its checksum.

    Args:
        metadata: Zarr's own file of the array.
        chunk: the chunk's name.
        content: the chunk's bytes.
        selection: what the chunk holds of the array.

    Raises:
        ValueError: when the bytes are not those that were written.
    """
    files = {METADATA: metadata, chunk: content}
    store = MemoryStore({name: cpu.Buffer.from_bytes(file) for name, file in files.items()})
    try:
        array = zarr.open_array(store, mode="r")
        values = np.asarray(array[selection])
    except RuntimeError as error:  # what some codecs raise on a wrong checksum
        raise ValueError(str(error)) from error
    return values.view(ml_dtypes.bfloat16) if array.attrs["dtype"] == "bfloat16" else values


def _create(
    store: MemoryStore,
    path: str,
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    dtype: DType,
    axes: Sequence[str],
) -> None:
    stored = np.dtype("<u2") if dtype == "bfloat16" else NUMPY_TYPES[dtype]
    zarr.create_array(
        store,
        name=path,
        shape=shape,
        chunks=chunk,
        dtype=stored,
        compressors=[ZstdCodec(level=1), Crc32cCodec()],
        fill_value=0,
        # "." keeps a chunk's file in the array's own folder, so one flush covers its name.
        chunk_key_encoding={"name": "default", "configuration": {"separator": "."}},
        dimension_names=axes,
        attributes={"dtype": dtype},
        config={"write_empty_chunks": True},
    )


def _contents(store: MemoryStore) -> dict[str, bytes]:
    return {path: buffer.to_bytes() for path, buffer in store._store_dict.items()}
