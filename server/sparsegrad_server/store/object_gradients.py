"""Gradients in object storage: the same Zarr arrays as in a local folder, an object a file.

A dense gradient is one object, its chunk; a factored one or sums are two arrays with an object of
Zarr's own each. All parts but the last are sent before the slot is held; an object appears in
its place with the one request that ends its upload, within the transaction that holds the slot.
So a slow upload, whose slot another one took over, never replaces what the other has put there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sparsegrad_shared.calibrations import (
    CalibrationManifest,
    GradientForm,
    GroupSpec,
)

from . import arrays
from .chunks import encoded
from .footprint import Footprint, Holding
from .gradients import Array, GradientStore, Tensors
from .objects import Objects, Upload

_File = tuple[str, Iterable[bytes]]  # a key and what belongs there


@dataclass(frozen=True)
class _StagedUploads:
    uploads: tuple[Upload, ...]

    def place(self) -> None:
        for upload in self.uploads:
            upload.finish()


class ObjectGradientStore(GradientStore):
    """Gradients as objects.

    Args:
        objects: where they are.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def create(self, calibration_id: str, manifest: CalibrationManifest) -> None:
        """Write Zarr's own objects of a calibration."""
        for path, content in arrays.calibration_metadata(calibration_id, manifest).items():
            self._objects.write(f"{calibration_id}/{path}", content)

    @contextmanager
    def stage(
        self, calibration_id: str, group: GroupSpec, index: int, tensors: Tensors
    ) -> Iterator[_StagedUploads]:
        """Send a gradient, but for the end."""
        home = f"{calibration_id}/{group.name}"
        with ExitStack() as stack:
            uploads = []
            for key, pieces in _files(home, index, tensors):
                upload = stack.enter_context(self._objects.upload(key))
                upload.write(pieces)
                uploads.append(upload)
            yield _StagedUploads(tuple(uploads))

    def read(
        self, calibration_id: str, group: GroupSpec, index: int, form: GradientForm
    ) -> dict[str, Array]:
        """A stored gradient, held to its checksums."""
        return arrays.read_gradient(self._objects.read, calibration_id, group.name, index, form)

    def delete(self, calibration_id: str) -> None:
        """Remove a calibration's objects."""
        self._objects.delete_folder(calibration_id)

    def calibrations(self) -> Iterator[str]:
        """The folders of keys."""
        return self._objects.folders()

    def footprint(self, calibration_id: str) -> Footprint:
        """Of its objects."""
        return self._objects.footprint(calibration_id)

    def holdings(self, calibration_id: str) -> Iterator[Holding]:
        """By the names of the objects: the chunks of `dense`, and all of the other arrays."""
        for entry in self._objects.entries(calibration_id):
            place = arrays.place_of(entry.key.removeprefix(f"{calibration_id}/"))
            if place is not None:
                yield Holding(*place, entry.bytes)

    def discard(self, calibration_id: str, group: str, index: int, form: GradientForm) -> None:
        """Remove its chunk, or all of its arrays."""
        home = f"{calibration_id}/{group}"
        self._objects.delete(f"{home}/{path}" for path in arrays.files_of(index, form))


def _files(home: str, index: int, tensors: Tensors) -> Iterator[_File]:
    if "G" in tensors:
        yield f"{home}/{arrays.DENSE}/{arrays.dense_chunk(index)}", encoded(tensors["G"])
        return
    for name, array in tensors.items():
        path = f"{home}/{arrays.array_of(name, index)}"
        yield f"{path}/{arrays.METADATA}", [arrays.array_metadata(name, array)]
        yield f"{path}/{arrays.ONLY_CHUNK}", encoded(array)
