"""Bases in object storage, under their digests; their files are read through a local cache.

::

    <64 hexadecimal digits>/
        report.json
        <group>.safetensors     U, V, eigenvalues_in, eigenvalues_out
        manifest.json           canonical bytes; their SHA-256 is the folder's name

The manifest is written last and removed first: a basis is published when its manifest is there,
and then all that it lists is there too. Drafts are local folders, since only whole files are sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sparsegrad_shared.bases import MANIFEST_FILE, BasisManifest, FileEntry
from sparsegrad_shared.digests import digest_of
from sparsegrad_shared.errors import CorruptFile

from .bases import BasisStore, SetAside
from .cache import FileCache
from .drafts import add_file, draft_folder
from .footprint import Footprint
from .objects import Objects

_PUBLISHED = re.compile(rf"([0-9a-f]{{64}})/{re.escape(MANIFEST_FILE)}")


class ObjectBasisStore(BasisStore):
    """Bases as objects.

    Args:
        objects: where they are.
        cache: keeps local copies of files that are asked for.
        drafts: the local folder where bases are drafted, a folder a key.
    """

    def __init__(self, objects: Objects, cache: FileCache, drafts: Path) -> None:
        self._objects = objects
        self._cache = cache
        self._drafts = drafts

    @contextmanager
    def draft(self, key: str) -> Iterator[_ObjectDraft]:
        """Begin a basis in a local folder of its own."""
        with draft_folder(self._drafts, key) as folder:
            yield _ObjectDraft(folder, self, self._objects)

    def file(self, digest: str, name: str) -> Path:
        """The path of a local copy; it may go when it has not been asked for in a while."""
        if name == MANIFEST_FILE:
            return self._copy(digest, name, digest)
        content = self.file(digest, MANIFEST_FILE).read_bytes()
        for entry in BasisManifest.from_canonical_bytes(content, digest).files():
            if entry.name == name:
                return self._copy(digest, name, entry.digest)
        raise CorruptFile(f"{digest}: no file {name} is listed in its manifest")

    def verify(self, digest: str) -> BasisManifest:
        """Read every object of a basis and compare; copies prove nothing."""
        with _naming(digest, MANIFEST_FILE):
            content = bytes(self._objects.read(_key(digest, MANIFEST_FILE)))
        manifest = BasisManifest.from_canonical_bytes(content, digest)
        for entry in manifest.files():
            with _naming(digest, entry.name):
                found = digest_of(self._objects.pieces(_key(digest, entry.name)))
            if found != entry.digest:
                raise CorruptFile(
                    f"{digest}: {entry.name}: expected {entry.digest}, found {found}; the object "
                    "was changed"
                )
        return manifest

    def digests(self) -> Iterator[str]:
        """The folders that have a manifest."""
        matches = (_PUBLISHED.fullmatch(entry.key) for entry in self._objects.entries())
        return (f"sha256:{match[1]}" for match in matches if match is not None)

    def delete(self, digest: str) -> None:
        """Remove the manifest, then the rest."""
        self._objects.delete([_key(digest, MANIFEST_FILE)])
        self._cache.drop(digest)  # without it no other copy is asked for
        self.discard(_folder(digest))

    def footprint(self, digest: str) -> Footprint:
        """Of its objects."""
        return self._objects.footprint(_folder(digest))

    def set_aside(self) -> Iterator[SetAside]:
        """The folders without a manifest: publications and removals that were cut short."""
        published = set(self.digests())
        for folder in self._objects.folders():
            if f"sha256:{folder}" not in published:
                yield SetAside(folder, damaged=False, footprint=self._objects.footprint(folder))

    def discard(self, name: str) -> None:
        """Remove the objects of such a folder."""
        self._objects.delete_folder(name)

    def holds(self, digest: str) -> bool:
        """Whether all its objects are there, the manifest sound; a local copy proves nothing."""
        try:
            content = bytes(self._objects.read(_key(digest, MANIFEST_FILE)))
            files = BasisManifest.from_canonical_bytes(content, digest).files()
        except (FileNotFoundError, CorruptFile):
            return False
        there = {entry.key for entry in self._objects.entries(_folder(digest))}
        return all(_key(digest, entry.name) in there for entry in files)

    def _copy(self, digest: str, name: str, of_file: str) -> Path:
        with _naming(digest, name):
            pieces = self._objects.pieces(_key(digest, name))
            return self._cache.get(f"{digest}: {name}", of_file, pieces)


class _ObjectDraft:
    def __init__(self, folder: Path, store: ObjectBasisStore, objects: Objects) -> None:
        self._folder = folder
        self._store = store
        self._objects = objects

    def add(self, name: str, pieces: Iterable[bytes | memoryview]) -> FileEntry:
        return add_file(self._folder, name, pieces)

    def publish(self, manifest: BasisManifest) -> None:
        digest = manifest.digest()
        if self._is_published(digest):
            return
        for entry in manifest.files():
            self._objects.send(_key(digest, entry.name), self._folder / entry.name)
        self._objects.write(_key(digest, MANIFEST_FILE), manifest.canonical_bytes())

    def _is_published(self, digest: str) -> bool:
        try:
            self._store.verify(digest)
        except CorruptFile:  # it is not there, or damaged: then each object is replaced
            return False
        return True


@contextmanager
def _naming(digest: str, name: str) -> Iterator[None]:
    """Have an absent object be called what it is."""
    try:
        yield
    except FileNotFoundError:
        raise CorruptFile(f"{digest}: {name} is missing; put it back from a copy") from None


def _folder(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _key(digest: str, name: str) -> str:
    return f"{_folder(digest)}/{name}"
