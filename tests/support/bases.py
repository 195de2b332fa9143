"""Small bases made by hand, as files and on a server: no job has to run for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from sparsegrad_shared.bases import (
    MANIFEST_FILE,
    REPORT_FILE,
    BasisGroup,
    BasisManifest,
    FileEntry,
    ImportStatus,
    PublishedVersion,
    basis_file,
)
from sparsegrad_shared.calibrations import DatasetSource, HosvdOptions, ModelSource
from sparsegrad_shared.digests import content_digest, digest_of
from sparsegrad_shared.report import BasisReport, GroupReport, Spectrum

from .gradients import frame


@dataclass(frozen=True)
class Shape:
    """A group's name and extents."""

    name: str = "up"
    d_out: int = 12
    d_in: int = 8
    rank_out: int = 5
    rank_in: int = 4


@dataclass(frozen=True)
class MadeBasis:
    """A basis's manifest and the bytes of its files."""

    manifest: BasisManifest
    files: dict[str, bytes]

    @property
    def digest(self) -> str:
        return self.manifest.digest()

    def write(self, folder: Path) -> Path:
        """The files in a folder, the manifest among them."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        (folder / MANIFEST_FILE).write_bytes(self.manifest.canonical_bytes())
        return folder


def orthonormal(seed: int, rows: int, columns: int) -> Any:
    """A random matrix of orthonormal columns, float32."""
    matrix = np.random.default_rng(seed).standard_normal((rows, columns))
    return np.linalg.qr(matrix)[0].astype(np.float32)


def tensors_of(shape: Shape, seed: int) -> dict[str, Any]:
    return {
        "U": orthonormal(seed, shape.d_in, shape.rank_in),
        "V": orthonormal(seed + 1, shape.d_out, shape.rank_out),
        "eigenvalues_in": 0.5 ** np.arange(shape.rank_in, dtype=np.float64),
        "eigenvalues_out": 0.5 ** np.arange(shape.rank_out, dtype=np.float64),
    }


def made(
    seed: int = 0,
    shapes: Sequence[Shape] = (Shape(),),
    *,
    model: str = "tiny",
    dataset: str = "data",
    tensors: dict[str, Any] | None = None,
) -> MadeBasis:
    """A basis with random subspaces; `tensors` replaces those of the first group."""
    files = {}
    for position, shape in enumerate(shapes):
        values = tensors_of(shape, 10 * seed + position)
        if position == 0:
            values |= tensors or {}
        files[basis_file(shape.name)] = b"".join(frame(values))
    report = BasisReport(groups=tuple(_report(shape) for shape in shapes))
    files[REPORT_FILE] = report.model_dump_json().encode()
    manifest = BasisManifest(
        model=ModelSource(id=model, architecture="TinyModel"),
        dataset=DatasetSource(id=dataset, fingerprint=str(seed)),
        options=HosvdOptions(rank=5),
        groups=tuple(_group(shape, files[basis_file(shape.name)]) for shape in shapes),
        report=_entry(REPORT_FILE, files[REPORT_FILE]),
    )
    return MadeBasis(manifest, files)


def begin(client: httpx.Client, name: str, basis: MadeBasis) -> httpx.Response:
    """Announce a basis, or, when its files are there, have it published."""
    return client.put(
        f"/v1/bases/{name}/imports/{basis.digest}",
        content=basis.manifest.canonical_bytes(),
        headers={"Content-Type": "application/json"},
    )


def send_file(
    client: httpx.Client, name: str, basis: MadeBasis, file: str, content: bytes | None = None
) -> httpx.Response:
    """Send one file, or other bytes under its name."""
    content = basis.files[file] if content is None else content
    return client.put(
        f"/v1/bases/{name}/imports/{basis.digest}/files/{file}",
        content=content,
        headers={"Content-Digest": content_digest(digest_of([content]))},
    )


def publish(client: httpx.Client, name: str, basis: MadeBasis) -> PublishedVersion:
    """Import a basis, sending what is missing."""
    status = ImportStatus.model_validate_json(begin(client, name, basis).content)
    for entry in status.missing:
        answer = send_file(client, name, basis, entry.name)
        assert answer.status_code == 204, answer.text
    answer = begin(client, name, basis)
    assert answer.status_code == 201, answer.text
    version = ImportStatus.model_validate_json(answer.content).version
    assert version is not None
    return version


def _group(shape: Shape, content: bytes) -> BasisGroup:
    return BasisGroup(
        name=shape.name,
        layers=(f"encoder.0.{shape.name}",),
        d_out=shape.d_out,
        d_in=shape.d_in,
        rank_out=shape.rank_out,
        rank_in=shape.rank_in,
        gradients=4,
        zero_gradients=0,
        held_out=1,
        gradients_digest=digest_of([b"gradients"]),
        file=_entry(basis_file(shape.name), content),
    )


def _entry(name: str, content: bytes) -> FileEntry:
    return FileEntry(name=name, digest=digest_of([content]), bytes=len(content))


def _report(shape: Shape) -> GroupReport:
    spectrum = Spectrum(
        ranks=(1, 2), eigenvalues=(1.0, 0.5), energy=(0.6, 0.9), rank_50=1, rank_90=2, rank_99=3
    )
    return GroupReport(
        name=shape.name,
        held_out=1,
        density=0.01,
        basis=None,
        original=None,
        blocks=(),
        frozen_support=None,
        spectrum_in=spectrum,
        spectrum_out=spectrum,
    )
