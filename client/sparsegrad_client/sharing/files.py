"""A basis on this machine: its manifest, and where the bytes of each file lie.

They lie in a folder (of the cache, of an export, of a model hub's download), a file each, or in an
archive, one after the other. Names are those of the manifest; what else is there is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from sparsegrad_shared.bases import MANIFEST_FILE, BasisManifest, FileEntry
from sparsegrad_shared.digests import digest_of
from sparsegrad_shared.errors import CorruptFile, InvalidInput

from ..service.streams import FilePart

MAX_MANIFEST_BYTES = 16 << 20


@dataclass(frozen=True)
class BasisFiles:
    """A basis's manifest and files.

    Attributes:
        manifest: what the basis is.
        parts: where each file's bytes are, by the name in the manifest.
    """

    manifest: BasisManifest
    parts: Mapping[str, FilePart]

    def verified(self, entry: FileEntry) -> FilePart:
        """A file's bytes, once they are held to its digest.

        Raises:
            CorruptFile: when they are others; says where they lie.
        """
        part = self.parts[entry.name]
        found = digest_of(part)
        if found != entry.digest:
            raise CorruptFile(f"{part.path}: {entry.name}: expected {entry.digest}, found {found}")
        return part


def open_files(path: Path) -> BasisFiles:
    """The basis that was exported to a folder or an archive.

    Raises:
        InvalidInput: when there is none.
        CorruptFile: when a file is missing or of another size.
    """
    from .archive import read_archive

    if path.is_dir():
        return open_folder(path)
    if path.is_file():
        return read_archive(path)
    raise InvalidInput(f"{path}: there is no such file or folder")


def open_folder(folder: Path) -> BasisFiles:
    """The basis in a folder; see `open_files`."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise InvalidInput(f"{folder}: it has no {MANIFEST_FILE}, so it is no basis")
    with path.open("rb") as file:
        manifest = read_manifest(file.read(MAX_MANIFEST_BYTES + 1), path)
    parts = {}
    for entry in manifest.files():
        place = folder / entry.name
        size = place.stat().st_size if place.is_file() else -1
        if size < 0:
            raise CorruptFile(f"{place}: the file is missing")
        if size != entry.bytes:
            raise CorruptFile(f"{place}: expected {entry.bytes} bytes, found {size}")
        parts[entry.name] = FilePart(place, 0, entry.bytes)
    return BasisFiles(manifest, parts)


def read_manifest(content: bytes, path: Path) -> BasisManifest:
    """A manifest, whose digest is that of its bytes.

    Raises:
        CorruptFile: when it is none, or not in the one form that its digest stands for.
    """
    if len(content) > MAX_MANIFEST_BYTES:
        raise CorruptFile(f"{path}: expected a manifest of at most {MAX_MANIFEST_BYTES} bytes")
    try:
        manifest = BasisManifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the text"
        raise CorruptFile(f"{path}: not a manifest of format 1: {where}: {first['msg']}") from None
    if manifest.canonical_bytes() != content:
        raise CorruptFile(f"{path}: it was changed since it was written, if only in its spacing")
    names = [MANIFEST_FILE, *(entry.name for entry in manifest.files())]
    if len(set(names)) < len(names):
        raise CorruptFile(f"{path}: it names a file twice")
    return manifest
