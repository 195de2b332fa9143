"""Gradients in a local folder, as Zarr v3.

::

    <calibration>/                      group; attribute `calibration`
        <group>/                        group; attributes `dtype`, `layers`
            dense/                      array (slots, d_out, d_in), a chunk a slot
            g.<index>/, x.<index>/      arrays (T, d_out) and (T, d_in), one chunk each
            A_in.<index>/               array (d_in, d_in), one chunk
            A_out.<index>/              array (d_out, d_out), one chunk

A chunk is a file of its own, unsharded: two writers never meet in one. Empty chunks are written,
since otherwise a gradient of zeros and a lost one look alike. Zarr has no bfloat16 yet: such a
gradient is stored as its 16 bits (uint16), with the attribute `dtype` saying what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import LocalStore

from sparsegrad_shared.calibrations import (
    FORM_TENSORS,
    CalibrationManifest,
    GradientForm,
    GroupSpec,
)
from sparsegrad_shared.errors import CorruptFile
from sparsegrad_shared.framing import DType

from .chunks import encoded
from .files import Staging, flush, make_folder, place, remove
from .footprint import Footprint, Holding, footprint_of
from .gradients import NUMPY_TYPES, Array, GradientStore, Tensors

_DENSE_AXES = ("slot", "d_out", "d_in")
_AXES = {
    "g": ("token", "d_out"),
    "x": ("token", "d_in"),
    "A_in": ("d_in", "d_in_again"),
    "A_out": ("d_out", "d_out_again"),
}


@dataclass(frozen=True)
class _Move:
    """A staged file or folder, and where it belongs."""

    staged: Path
    target: Path

    def place(self) -> None:
        if self.target.is_dir():  # of an upload that died after its rename, before its row
            remove(self.target)
        place(self.staged, self.target)


@dataclass(frozen=True)
class _StagedFiles:
    moves: tuple[_Move, ...]

    def place(self) -> None:
        for move in self.moves:
            move.place()


class LocalGradientStore(GradientStore):
    """Gradients below a folder.

    Args:
        root: the folder.
        staging: where gradients are written before they have their place.
    """

    def __init__(self, root: Path, staging: Staging) -> None:
        make_folder(root)
        self._root = root
        self._staging = staging

    def create(self, calibration_id: str, manifest: CalibrationManifest) -> None:
        """Make a calibration's groups and dense arrays, whole or not at all."""
        with self._staging.path() as staged:
            _make_group(staged, {"calibration": calibration_id})
            for group in manifest.groups:
                _make_slots(staged / group.name, group)
            flush(staged)
            place(staged, self._root / calibration_id)

    @contextmanager
    def stage(
        self, calibration_id: str, group: GroupSpec, index: int, tensors: Tensors
    ) -> Iterator[_StagedFiles]:
        """Encode a gradient in the staging folder."""
        home = self._root / calibration_id / group.name
        with self._staging.path() as staged:
            if "G" in tensors:
                moves = [_stage_dense(staged, home, index, tensors["G"])]
            else:
                moves = [
                    _stage_array(staged / name, _path(home, name, index), array, _AXES[name])
                    for name, array in tensors.items()
                ]
            yield _StagedFiles(tuple(moves))

    def read(
        self, calibration_id: str, group: GroupSpec, index: int, form: GradientForm
    ) -> dict[str, Array]:
        """A stored gradient, held to its checksums."""
        home = self._root / calibration_id / group.name
        where = f"{calibration_id}: gradient {group.name}/{index}"
        if form == "dense":
            chunk = home / "dense" / _dense_chunk(index)
            return {"G": _read(home / "dense", chunk, index, where)}
        paths = {name: _path(home, name, index) for name in FORM_TENSORS[form]}
        return {
            name: _read(path, path / _ONLY_CHUNK, slice(None), f"{where}, {name}")
            for name, path in paths.items()
        }

    def delete(self, calibration_id: str) -> None:
        """Remove a calibration's folder."""
        remove(self._root / calibration_id)

    def footprint(self, calibration_id: str) -> Footprint:
        """Of its folder."""
        return footprint_of(self._root / calibration_id)

    def holdings(self, calibration_id: str) -> Iterator[Holding]:
        """The chunks of the dense arrays, and the other arrays, by their names."""
        for path in (self._root / calibration_id).glob("*/dense/c.*"):
            if (match := _DENSE_CHUNK.fullmatch(path.name)) is not None:
                yield _holding(path, path.parents[1].name, int(match["index"]), "dense")
        for path in (self._root / calibration_id).glob("*/*.*"):
            name, _, index = path.name.partition(".")
            if name in _FORMS and index.isdecimal():
                yield _holding(path, path.parent.name, int(index), _FORMS[name])

    def discard(self, calibration_id: str, group: str, index: int, form: GradientForm) -> None:
        """Remove its chunk or its arrays."""
        home = self._root / calibration_id / group
        if form == "dense":
            remove(home / "dense" / _dense_chunk(index))
        else:
            for name in FORM_TENSORS[form]:
                remove(_path(home, name, index))

    def calibrations(self) -> Iterator[str]:
        """The names of the folders."""
        return (path.name for path in self._root.iterdir())


_ONLY_CHUNK = "c.0.0"
_DENSE_CHUNK = re.compile(r"c\.(?P<index>\d+)\.0\.0")
_FORMS: Mapping[str, GradientForm] = {
    name: form for form, names in FORM_TENSORS.items() if form != "dense" for name in names
}


def _holding(path: Path, group: str, index: int, form: GradientForm) -> Holding:
    return Holding(group, index, form, footprint_of(path).bytes)


def _dense_chunk(index: int) -> str:
    return f"c.{index}.0.0"


def _path(home: Path, name: str, index: int) -> Path:
    return home / f"{name}.{index}"


def _make_group(path: Path, attributes: dict[str, Any]) -> None:
    zarr.create_group(LocalStore(path), attributes=attributes)


def _make_slots(path: Path, group: GroupSpec) -> None:
    _make_group(path, {"dtype": group.dtype, "layers": list(group.layers)})
    _make_dense(path / "dense", group)


def _make_dense(path: Path, group: GroupSpec) -> zarr.Array[Any]:
    shape = (group.slots, group.d_out, group.d_in)
    return _make_array(path, shape, (1, *shape[1:]), group.dtype, _DENSE_AXES)


def _make_array(
    path: Path,
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    dtype: DType,
    axes: Sequence[str],
) -> zarr.Array[Any]:
    stored = np.dtype("<u2") if dtype == "bfloat16" else NUMPY_TYPES[dtype]
    return zarr.create_array(
        LocalStore(path),
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


def _stage_dense(staged: Path, home: Path, index: int, G: Array) -> _Move:
    _write_chunk(staged, G)
    flush(staged)
    return _Move(staged, home / "dense" / _dense_chunk(index))


def _stage_array(staged: Path, target: Path, array: Array, axes: Sequence[str]) -> _Move:
    dtype = next(name for name, numpy_type in NUMPY_TYPES.items() if numpy_type == array.dtype)
    _make_array(staged, array.shape, array.shape, dtype, axes)
    _write_chunk(staged / _ONLY_CHUNK, array)
    flush(staged)
    return _Move(staged, target)


def _write_chunk(path: Path, array: Array) -> None:
    with path.open("xb") as file:
        for piece in encoded(array):
            file.write(piece)


def _read(path: Path, chunk: Path, selection: int | slice, where: str) -> Array:
    # Zarr answers zeros for a chunk that is not there.
    if not chunk.is_file():
        raise CorruptFile(f"{where}: its file {chunk.name} is missing; put it back from a copy")
    try:
        array = zarr.open_array(LocalStore(path, read_only=True), mode="r")
        values = np.asarray(array[selection])
    except (ValueError, RuntimeError) as error:  # what the codecs raise on a wrong checksum
        raise CorruptFile(f"{where}: the stored bytes are damaged: {error}") from error
    return values.view(ml_dtypes.bfloat16) if array.attrs["dtype"] == "bfloat16" else values
