"""The cache of bases on disk, without a thought for what they mean."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sparsegrad_shared.bases import (
    MANIFEST_FILE,
    BasisManifest,
    BasisVersion,
    FileEntry,
    PublishedVersion,
)
from sparsegrad_shared.digests import verify_file
from sparsegrad_shared.errors import CorruptFile
from sparsegrad_shared.progress import InBytes, Progress, ignore
from sparsegrad_shared.references import BasisReference

from .disk import flush
from .home import bases_folder, resolved_folder
from .service import BasisService
from .sharing.files import BasisFiles

DOWNLOADING = InBytes("downloading the basis")


def download(
    service: BasisService, reference: str, server: str, progress: Progress = ignore
) -> BasisVersion:
    """Have a basis in the cache, whole.

    Args:
        service: the service.
        reference: which basis.
        server: the server's name, under which the version is remembered.
        progress: told of the bytes that come; of none when all are there.

    Raises:
        UnknownBasis: when the server has no such basis.
        CorruptFile: when what the server sends is damaged.
    """
    version = service.resolve(reference)
    found = version.manifest.digest()
    if found != version.digest:
        raise CorruptFile(
            f"{version}: the server says it is {version.digest}, its manifest is {found}"
        )
    BasisCache(bases_folder()).fill(service, version, progress)
    ResolvedVersions(resolved_folder(), server).note(version)
    return version


class BasisCache:
    """Bases by digest, a folder each.

    Args:
        root: where they are; made when it is not there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, digest: str) -> Path:
        """Where the basis of that digest is, or would be."""
        return self._root / digest.removeprefix("sha256:")

    def file(self, digest: str, name: str) -> Path:
        """Where a file of a basis is, or would be."""
        return self.folder(digest) / name

    def has(self, digest: str) -> bool:
        """Whether the basis is there, damaged or not."""
        return self.folder(digest).is_dir()

    def is_whole(self, digest: str) -> bool:
        """Whether the basis is there and every byte of it is right."""
        return self.has(digest) and not self.damage(digest)

    def manifest(self, digest: str) -> BasisManifest:
        """The manifest of a cached basis.

        Raises:
            CorruptFile: when it is absent or not the one of that digest.
        """
        path = self.file(digest, MANIFEST_FILE)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise CorruptFile(f"{path}: the file is missing") from None
        try:
            return BasisManifest.from_canonical_bytes(content, digest)
        except CorruptFile as error:
            raise CorruptFile(f"{path.parent}: {error}") from None

    def damage(self, digest: str) -> list[CorruptFile]:
        """What is wrong with a cached basis: an error for each file; verifies every byte."""
        try:
            manifest = self.manifest(digest)
        except CorruptFile as error:
            return [error]
        checked = (self._check(digest, entry) for entry in manifest.files())
        return [damaged for damaged in checked if damaged is not None]

    def fill(
        self, service: BasisService, version: BasisVersion, progress: Progress = ignore
    ) -> None:
        """Make a basis whole: fetch all of it, or those files that are damaged.

        Args:
            service: the service.
            version: the basis.
            progress: told of the bytes that come.

        Raises:
            CorruptFile: when what the server sends is damaged too.
        """
        with self._staging() as staging:
            if self.has(version.digest):
                self._mend(service, version, staging, progress)
                return
            _fetch(service, version, version.manifest.files(), staging, progress)
            self._place(staging, version.manifest)

    def take(self, files: BasisFiles) -> str:
        """Put a basis of this machine's files into the cache; its digest.

        Raises:
            CorruptFile: when a file's bytes are not those of its digest.
        """
        digest = files.manifest.digest()
        if self.is_whole(digest):
            return digest
        with self._staging() as staging, self._staging() as aside:
            for entry in files.manifest.files():
                with (staging / entry.name).open("wb") as target:
                    target.writelines(files.verified(entry))
                flush(staging / entry.name)
            if self.has(digest):
                self.folder(digest).rename(aside / "damaged")
            self._place(staging, files.manifest)
        return digest

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        self._root.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".incoming-", dir=self._root))
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _place(self, staging: Path, manifest: BasisManifest) -> None:
        _write(staging / MANIFEST_FILE, manifest.canonical_bytes())
        flush(staging)
        digest = manifest.digest()
        try:
            staging.rename(self.folder(digest))
        except OSError:
            # Another process was first: the same digest is the same content.
            if not self.has(digest):
                raise
        flush(self._root)

    def _mend(
        self, service: BasisService, version: BasisVersion, staging: Path, progress: Progress
    ) -> None:
        folder = self.folder(version.digest)
        try:
            self.manifest(version.digest)
        except CorruptFile as error:
            warnings.warn(f"{error}; it is written again", stacklevel=5)
            _write(staging / MANIFEST_FILE, version.manifest.canonical_bytes())
            (staging / MANIFEST_FILE).replace(folder / MANIFEST_FILE)
        for entry in version.manifest.files():
            damaged = self._check(version.digest, entry)
            if damaged is not None:
                warnings.warn(f"{damaged}; it is fetched again", stacklevel=5)
                _fetch(service, version, [entry], staging, progress)
                (staging / entry.name).replace(folder / entry.name)
        flush(folder)

    def _check(self, digest: str, entry: FileEntry) -> CorruptFile | None:
        try:
            verify_file(self.file(digest, entry.name), entry.digest)
        except CorruptFile as error:
            return error
        return None


class ResolvedVersions:
    """Which digest a version was on a server, for when the server does not answer.

    Args:
        root: where this is kept, a small file a version.
        server: the server's name; versions of two servers are never mixed up.
    """

    def __init__(self, root: Path, server: str) -> None:
        self._folder = root / hashlib.sha256(server.encode()).hexdigest()[:16]

    def note(self, version: PublishedVersion) -> None:
        """Keep what a version is."""
        path = self._path(str(version))
        path.parent.mkdir(parents=True, exist_ok=True)
        known = PublishedVersion(name=version.name, version=version.version, digest=version.digest)
        handle, aside = tempfile.mkstemp(prefix=".incoming-", dir=path.parent)
        os.close(handle)
        _write(Path(aside), known.model_dump_json().encode())
        Path(aside).replace(path)

    def digest(self, reference: BasisReference) -> str | None:
        """The digest of a version that was noted; None for aliases and bare names."""
        if reference.version is None:
            return None
        try:
            content = self._path(str(reference)).read_text()
            known = PublishedVersion.model_validate(json.loads(content))
        except (FileNotFoundError, ValueError):
            return None  # never noted, or a file that somebody else wrote: as if never noted
        return known.digest if str(known) == str(reference) else None

    def every(self) -> Iterator[PublishedVersion]:
        """All versions that were noted."""
        for path in self._folder.glob("*.json"):
            try:
                yield PublishedVersion.model_validate_json(path.read_bytes())
            except (OSError, ValueError):
                continue  # gone meanwhile, or somebody else's

    def _path(self, version: str) -> Path:
        return self._folder / f"{hashlib.sha256(version.encode()).hexdigest()[:32]}.json"


def _fetch(
    service: BasisService,
    version: BasisVersion,
    files: Sequence[FileEntry],
    folder: Path,
    progress: Progress,
) -> None:
    total = sum(entry.bytes for entry in files)
    before = 0

    def count(so_far: int) -> None:
        progress(DOWNLOADING, before + so_far, total)

    for entry in files:
        service.download_file(version, entry, folder / entry.name, on_bytes=count)
        before += entry.bytes


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    flush(path)
