"""Bases put into a client's cache as if they had been fetched: files, digests, manifest and all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save_file

from sparsegrad_client.basis import GroupBasis
from sparsegrad_shared.bases import MANIFEST_FILE, REPORT_FILE, BasisGroup, BasisManifest, FileEntry
from sparsegrad_shared.calibrations import DatasetSource, HosvdOptions, ModelSource
from sparsegrad_shared.digests import digest_of, digest_of_file

# Caches a basis for a model of the test's, another for each seed, and gives its digest.
MakeBasis = Callable[..., str]


def cache_basis(home: Path, *groups: GroupBasis) -> str:
    """Write a basis of these groups into the cache under a client's home.

    Returns:
        Its digest.
    """
    aside = home / "bases" / "aside"
    aside.mkdir(parents=True)
    (aside / REPORT_FILE).write_text("{}", encoding="utf-8")
    manifest = BasisManifest(
        model=ModelSource(id="tests/random", architecture="Random"),
        dataset=DatasetSource(id="data", fingerprint="1"),
        options=HosvdOptions(),
        groups=tuple(_write_group(aside, group) for group in groups),
        report=_entry(aside / REPORT_FILE),
    )
    (aside / MANIFEST_FILE).write_bytes(manifest.canonical_bytes())
    digest = manifest.digest()
    aside.rename(home / "bases" / digest.removeprefix("sha256:"))
    return digest


def _write_group(folder: Path, group: GroupBasis) -> BasisGroup:
    file = folder / f"{group.name}.safetensors"
    save_file(
        {
            "U": group.U.contiguous(),
            "V": group.V.contiguous(),
            "eigenvalues_in": group.eigenvalues_in,
            "eigenvalues_out": group.eigenvalues_out,
        },
        file,
    )
    return BasisGroup(
        name=group.name,
        layers=group.layers,
        d_out=group.d_out,
        d_in=group.d_in,
        rank_out=group.r_out,
        rank_in=group.r_in,
        gradients=2,
        zero_gradients=0,
        held_out=0,
        gradients_digest=digest_of([b"none"]),
        file=_entry(file),
    )


def _entry(path: Path) -> FileEntry:
    return FileEntry(name=path.name, digest=digest_of_file(path), bytes=path.stat().st_size)
