"""Bases in a local folder, one folder a basis, named by its digest.

::

    <64 hexadecimal digits>/
        manifest.json           canonical bytes; their SHA-256 is the folder's name
        report.json
        <group>.safetensors     U, V, eigenvalues_in, eigenvalues_out
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sparsegrad_shared.bases import MANIFEST_FILE, BasisManifest, FileEntry
from sparsegrad_shared.digests import verify_file
from sparsegrad_shared.errors import CorruptFile

from .bases import BasisStore, SetAside
from .drafts import add_file, draft_folder
from .files import flush, make_folder, place, remove
from .footprint import Footprint, footprint_of

_FOLDER = re.compile("[0-9a-f]{64}")
_DAMAGED = ".damaged-"  # in the name of a folder that was set aside


class LocalBasisStore(BasisStore):
    """Bases below a folder.

    Args:
        root: the folder.
        drafts: where bases are drafted, a folder a key; on the same file system.
    """

    def __init__(self, root: Path, drafts: Path) -> None:
        make_folder(root)
        self._root = root
        self._drafts = drafts

    @contextmanager
    def draft(self, key: str) -> Iterator[_LocalDraft]:
        """Begin a basis in a folder of its own."""
        with draft_folder(self._drafts, key) as folder:
            yield _LocalDraft(folder, self)

    def file(self, digest: str, name: str) -> Path:
        """The path of a file."""
        path = self.folder(digest) / name
        if not path.is_file():
            raise CorruptFile(f"{digest}: {name} is missing; put it back from a copy")
        return path

    def verify(self, digest: str) -> BasisManifest:
        """Read every file of a basis and compare."""
        content = self.file(digest, MANIFEST_FILE).read_bytes()
        manifest = BasisManifest.from_canonical_bytes(content, digest)
        for entry in manifest.files():
            verify_file(self.file(digest, entry.name), entry.digest)
        return manifest

    def digests(self) -> Iterator[str]:
        """The names of the folders, but for those set aside as damaged."""
        return (
            f"sha256:{path.name}" for path in self._root.iterdir() if _FOLDER.fullmatch(path.name)
        )

    def delete(self, digest: str) -> None:
        """Rename the folder aside first, so that no half of it is ever seen."""
        folder = self.folder(digest)
        if folder.exists():
            aside = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.deleted")
            place(folder, aside)
            remove(aside)

    def footprint(self, digest: str) -> Footprint:
        """Of its folder."""
        return footprint_of(self.folder(digest))

    def set_aside(self) -> Iterator[SetAside]:
        """The other folders, whose names say what became of them."""
        for path in self._root.iterdir():
            if not _FOLDER.fullmatch(path.name):
                yield SetAside(path.name, _DAMAGED in path.name, footprint_of(path))

    def discard(self, name: str) -> None:
        """Remove such a folder."""
        remove(self._root / name)

    def folder(self, digest: str) -> Path:
        """Where the basis of that digest is, or would be."""
        return self._root / digest.removeprefix("sha256:")


class _LocalDraft:
    def __init__(self, folder: Path, store: LocalBasisStore) -> None:
        self._folder = folder
        self._store = store

    def add(self, name: str, pieces: Iterable[bytes | memoryview]) -> FileEntry:
        return add_file(self._folder, name, pieces)

    def publish(self, manifest: BasisManifest) -> None:
        digest = manifest.digest()
        if self._is_published(digest):
            return
        self.add(MANIFEST_FILE, [manifest.canonical_bytes()])
        flush(self._folder, deep=False)
        place(self._folder, self._store.folder(digest))

    def _is_published(self, digest: str) -> bool:
        folder = self._store.folder(digest)
        if not folder.exists():
            return False
        try:
            self._store.verify(digest)
        except CorruptFile:
            # Out of the way, not away: whoever looks into the damage may want the files.
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
            folder.rename(folder.with_name(f"{folder.name}{_DAMAGED}{stamp}"))
            return False
        return True
