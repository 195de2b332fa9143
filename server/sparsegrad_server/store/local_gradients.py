"""Gradients in a local folder, as the Zarr arrays that `arrays` describes, a folder a calibration.

A chunk, or the folder of a factored gradient's or a sum's array, is written and flushed in the
staging folder, then renamed to its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sparsegrad_shared.calibrations import (
    FORM_TENSORS,
    CalibrationManifest,
    GradientForm,
    GroupSpec,
)

from . import arrays
from .chunks import encoded
from .files import Staging, flush, make_folder, place, remove, tree
from .footprint import Footprint, Holding, footprint_of
from .gradients import Array, GradientStore, Tensors


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
            for path, content in arrays.calibration_metadata(calibration_id, manifest).items():
                _write(staged / path, [content])
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
                chunk = home / arrays.DENSE / arrays.dense_chunk(index)
                moves = [_stage_chunk(staged, chunk, tensors["G"])]
            else:
                moves = [
                    _stage_array(staged / name, home / arrays.array_of(name, index), name, array)
                    for name, array in tensors.items()
                ]
            yield _StagedFiles(tuple(moves))

    def read(
        self, calibration_id: str, group: GroupSpec, index: int, form: GradientForm
    ) -> dict[str, Array]:
        """A stored gradient, held to its checksums."""
        return arrays.read_gradient(self._read, calibration_id, group.name, index, form)

    def delete(self, calibration_id: str) -> None:
        """Remove a calibration's folder."""
        remove(self._root / calibration_id)

    def footprint(self, calibration_id: str) -> Footprint:
        """Of its folder."""
        return footprint_of(self._root / calibration_id)

    def holdings(self, calibration_id: str) -> Iterator[Holding]:
        """By the names of the files: the chunks of `dense`, and all of the other arrays."""
        home = self._root / calibration_id
        for path in tree(home):
            slot = arrays.place_of(path.relative_to(home).as_posix())
            if slot is not None:
                yield Holding(*slot, footprint_of(path).bytes)

    def discard(self, calibration_id: str, group: str, index: int, form: GradientForm) -> None:
        """Remove its chunk or its arrays."""
        home = self._root / calibration_id / group
        if form == "dense":
            remove(home / arrays.DENSE / arrays.dense_chunk(index))
        else:
            for name in FORM_TENSORS[form]:
                remove(home / arrays.array_of(name, index))

    def calibrations(self) -> Iterator[str]:
        """The names of the folders."""
        return (path.name for path in self._root.iterdir())

    def _read(self, path: str) -> bytes:
        return (self._root / path).read_bytes()


def _stage_chunk(staged: Path, target: Path, array: Array) -> _Move:
    _write(staged, encoded(array))
    flush(staged)
    return _Move(staged, target)


def _stage_array(staged: Path, target: Path, name: str, array: Array) -> _Move:
    _write(staged / arrays.METADATA, [arrays.array_metadata(name, array)])
    _write(staged / arrays.ONLY_CHUNK, encoded(array))
    flush(staged)
    return _Move(staged, target)


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.writelines(pieces)
