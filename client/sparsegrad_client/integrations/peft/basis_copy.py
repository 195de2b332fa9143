"""A basis copied from one folder of bases to another: the cache's, and one beside an adapter.

Both are laid out as `sparsegrad_client.cache` says: ``<folder>/<hex digest>/manifest.json`` and
the files that it lists.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from sparsegrad_shared.errors import CorruptFile

from ...cache import BasisCache

COPIES = "bases"  # the folder of copies beside an adapter


def copy_basis(digest: str, source: Path, target: Path) -> None:
    """Copy a basis, unless it is there already, whole.

    It appears under its name by one rename, and only when every byte of it was verified and is on
    disk; a damaged copy in its place is replaced.

    Args:
        digest: which basis.
        source: a folder of bases that has it.
        target: a folder of bases; made when it is not there.

    Raises:
        CorruptFile: when the source is damaged or has no such basis.
        OSError: when the disk refuses.
    """
    if BasisCache(target).is_whole(digest):
        return
    target.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".incoming-", dir=target))
    try:
        _copy_verified(digest, BasisCache(source), BasisCache(staging))
        place = BasisCache(target).folder(digest)
        if place.exists():
            place.rename(staging / "damaged")
        BasisCache(staging).folder(digest).rename(place)
        _fsync(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _copy_verified(digest: str, source: BasisCache, staging: BasisCache) -> None:
    if not source.has(digest):
        raise CorruptFile(f"{source.folder(digest)}: there is no basis to copy; fetch it first")
    shutil.copytree(source.folder(digest), staging.folder(digest))
    damage = staging.damage(digest)
    if damage:
        raise CorruptFile(
            f"{source.folder(digest)} is damaged: {'; '.join(map(str, damage))}. "
            "Delete this folder, and the basis is fetched from its server"
        )
    for file in staging.folder(digest).iterdir():
        _fsync(file)
    _fsync(staging.folder(digest))


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
