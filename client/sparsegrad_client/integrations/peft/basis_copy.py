"""A basis copied from one folder of bases to another: the cache's, and one beside an adapter.

Both are laid out as `sparsegrad_client.cache` says: ``<folder>/<hex digest>/manifest.json`` and
the files that it lists.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from sparsegrad_shared.bases import MANIFEST_FILE
from sparsegrad_shared.errors import CorruptFile

from ...cache import BasisCache
from ...folders import new_folder

COPIES = "bases"  # the folder of copies beside an adapter


def copy_basis(digest: str, source: Path, target: Path) -> None:
    """Copy a basis, unless it is there already, whole; a damaged one in its place is replaced.

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
    cache = BasisCache(source)
    damage = cache.damage(digest)
    if damage:
        raise CorruptFile(
            f"the basis in {cache.folder(digest)} cannot be copied: {'; '.join(map(str, damage))}. "
            "Delete this folder, and the basis is fetched from its server"
        )
    names = [MANIFEST_FILE, *(entry.name for entry in cache.manifest(digest).files())]
    with new_folder(BasisCache(target).folder(digest), replacing=names) as folder:
        for name in names:
            shutil.copyfile(cache.file(digest, name), folder / name)
