"""A basis as one file: an uncompressed tar archive.

::

    manifest.json, then the files in the manifest's order, and nothing else

Any tar program lists and unpacks it. The same basis gives the same bytes: no times, no owners.
Reading never unpacks: the manifest says which file comes next and of what size, and whatever else
the archive says (other names, paths, links, holes) is refused. Memory is bounded, since no header
of more than `_MAX_READ` bytes is read.
"""

from __future__ import annotations

import os
import tarfile
import uuid
from io import BytesIO
from pathlib import Path
from typing import IO, BinaryIO, cast

from sparsegrad_shared.bases import MANIFEST_FILE
from sparsegrad_shared.errors import CorruptFile, InvalidInput

from ..disk import flush
from ..service.streams import FilePart
from .files import MAX_MANIFEST_BYTES, BasisFiles, read_manifest

_MAX_READ = 1 << 20
# What the library raises on bytes that are no archive, or one that is made to break it.
_DAMAGE = (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError)


def check_new(path: Path) -> None:
    """Refuse a place where something is already.

    Raises:
        InvalidInput: when there is.
    """
    if path.exists():
        raise InvalidInput(f"{path} is there already; choose another name, or remove it")


def write_archive(files: BasisFiles, path: Path) -> None:
    """Write a basis as one file, which appears whole or not at all.

    Raises:
        InvalidInput: when something is there already.
        CorruptFile: when a file's bytes are not those of its digest.
        OSError: when the disk refuses.
    """
    check_new(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    try:
        with tarfile.open(aside, "w", format=tarfile.PAX_FORMAT) as archive:
            manifest = files.manifest.canonical_bytes()
            archive.addfile(_member(MANIFEST_FILE, len(manifest)), BytesIO(manifest))
            for entry in files.manifest.files():
                part = files.verified(entry)
                with part.path.open("rb") as source:
                    source.seek(part.offset)
                    archive.addfile(_member(entry.name, entry.bytes), source)
        flush(aside)
        aside.rename(path)
        flush(path.parent.absolute())
    finally:
        aside.unlink(missing_ok=True)


def read_archive(path: Path) -> BasisFiles:
    """Where the files of a basis lie in an archive.

    Raises:
        InvalidInput: when it is no archive of a basis; says what was expected, and what is there.
        CorruptFile: when the manifest is damaged.
    """
    with path.open("rb") as file:
        careful = cast(IO[bytes], _Careful(file, path))
        try:
            with tarfile.open(fileobj=careful, mode="r:") as archive:
                return _read(archive, file, path)
        except _DAMAGE as error:
            raise InvalidInput(f"{path}: not an export of a basis: {error}") from None


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def _read(archive: tarfile.TarFile, file: BinaryIO, path: Path) -> BasisFiles:
    first = _next(archive, file, path, MANIFEST_FILE)
    if first.size > MAX_MANIFEST_BYTES:
        raise InvalidInput(f"{path}: a manifest of {first.size} bytes is none")
    content = b"".join(FilePart(path, first.offset_data, first.size))
    manifest = read_manifest(content, path)
    parts = {}
    for entry in manifest.files():
        member = _next(archive, file, path, entry.name)
        if member.size != entry.bytes:
            raise CorruptFile(
                f"{path}: {entry.name}: expected {entry.bytes} bytes, found {member.size}"
            )
        parts[entry.name] = FilePart(path, member.offset_data, entry.bytes)
    extra = archive.next()
    if extra is not None:
        raise InvalidInput(f"{path}: {extra.name[:100]!r} follows, which is no file of the basis")
    return BasisFiles(manifest, parts)


def _next(archive: tarfile.TarFile, file: BinaryIO, path: Path, name: str) -> tarfile.TarInfo:
    """The next member, which must be the ordinary file of that name, whole."""
    member = archive.next()
    if member is None:
        raise CorruptFile(f"{path}: it ends where {name} was expected")
    if member.name != name or not member.isreg() or member.issparse():
        raise InvalidInput(f"{path}: expected the file {name}, found {member.name[:100]!r}")
    if member.offset_data + member.size > os.fstat(file.fileno()).st_size:
        raise CorruptFile(f"{path}: it ends within {name}")
    return member


class _Careful:
    """A file that gives little at a time: a header that says it is huge is not read."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self.name = str(path)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_READ:
            raise ValueError(f"a header of {size} bytes is none")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
