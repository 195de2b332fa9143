"""An import: a manifest, then its files one by one, then a version.

::

    imports/<namespace>/<64 hexadecimal digits>/
        manifest.json           what was announced
        report.json, <group>.safetensors    files that came, each checked and on disk

A file that is there is whole and right: it was received aside, held to its digest, looked into,
flushed and renamed. So an import goes on after any interruption with the files that are missing,
and the names of files are those of the manifest, never of an archive. What a token may see already
has to be sent by nobody: knowing a digest is not enough, or anyone could claim another team's
basis.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from anyio import CapacityLimiter
from sqlalchemy.orm import Session

from sparsegrad_shared.bases import (
    MANIFEST_FILE,
    REPORT_FILE,
    BasisManifest,
    FileEntry,
    ImportStatus,
    PublishedVersion,
)
from sparsegrad_shared.errors import (
    Conflict,
    CorruptFile,
    DigestMismatch,
    NotFound,
    Overloaded,
    UnknownBasis,
)
from sparsegrad_shared.references import BasisReference

from ..auth.principal import Principal
from ..catalog import Catalog, bases
from ..ingest.admission import check_disk
from ..ingest.body import Body
from ..ingest.receive import Promise, check_digest
from ..settings import Settings
from ..store.bases import BasisStore
from ..store.files import Staging, flush, make_folder, place, remove, tidy
from .acceptable import check_group_file, check_manifest, check_report

KEPT = timedelta(days=1)  # an import that nobody went on with for so long is given up
_COPIES = 2  # a file lies here, then once more in the store
_PIECE = 1 << 20


class Imports:
    """Takes bases from elsewhere into the store.

    Args:
        catalog: where they get a version.
        store: where they are kept.
        settings: limits and folders.

    Attributes:
        checkers: bounds how many files are looked into at a time.
    """

    def __init__(self, catalog: Catalog, store: BasisStore, settings: Settings) -> None:
        make_folder(settings.imports_folder)
        self._catalog = catalog
        self._store = store
        self._settings = settings
        self._staging = Staging(settings.staging_folder)
        self._reading = threading.Lock()
        self.checkers = CapacityLimiter(1)

    def go_on(
        self, principal: Principal, namespace: str, name: str, digest: str, manifest: BasisManifest
    ) -> ImportStatus:
        """Begin an import, or go on with it: what is missing; or, with nothing missing, publish.

        Args:
            principal: who asks.
            namespace: where to.
            name: where to.
            digest: what the client takes the basis's identity to be.
            manifest: the basis.

        Raises:
            DigestMismatch: when the manifest is not the one of that digest.
            InvalidInput: when it is not one of a basis.
            BodyTooLarge: when the files are larger than this server takes.
            Conflict: when too many imports are under way.
            StorageFull: when the disk has no room.
            Overloaded: when another basis is being published at this moment.
        """
        if manifest.digest() != digest:
            raise DigestMismatch(f"the manifest is {manifest.digest()}, not {digest}")
        if (version := self._publish_known(principal, namespace, name, manifest)) is not None:
            return ImportStatus(digest=digest, missing=(), version=version)
        check_manifest(manifest, self._settings.max_basis_bytes)
        folder = self._folder(namespace, digest)
        if not (folder / MANIFEST_FILE).is_file():
            remove(folder)  # what a removal that was cut short has left
            self._begin(folder, manifest)
        missing = tuple(e for e in manifest.files() if not (folder / e.name).is_file())
        if missing:
            return ImportStatus(digest=digest, missing=missing, version=None)
        return ImportStatus(
            digest=digest,
            missing=(),
            version=self._publish(principal, namespace, name, manifest, folder),
        )

    def entry(self, namespace: str, digest: str, file: str) -> FileEntry:
        """What an import says of a file.

        Raises:
            NotFound: when there is no such import, or no such file in it.
        """
        entries = {entry.name: entry for entry in self._manifest(namespace, digest).files()}
        if file not in entries:
            raise NotFound(f"no file {file!r}; the basis has {', '.join(sorted(entries))}")
        return entries[file]

    def keep(self, namespace: str, digest: str, entry: FileEntry, body: Body) -> None:
        """Look into a file that came, and keep it; it is on disk when this returns.

        Raises:
            DigestMismatch: when the file is not the one that was promised.
            InvalidInput: when it is not what the manifest says; says where.
            NotFound: when the import was given up meanwhile.
        """
        check_digest(body, Promise(entry.bytes, entry.digest))
        manifest = self._manifest(namespace, digest)
        if entry.name == REPORT_FILE:
            check_report(bytes(body.content()), manifest)
        else:
            group = next(group for group in manifest.groups if group.file == entry)
            check_group_file(body.content(), group)
        with self._staging.path() as staged:
            staged.write_bytes(body.content())
            flush(staged)
            try:
                place(staged, self._folder(namespace, digest) / entry.name)
            except FileNotFoundError:
                raise _given_up(digest) from None

    def give_up(self, namespace: str, digest: str) -> None:
        """Forget an import, with the files that came; one that is not there is forgotten already.

        Safe at any time: a publication that is under way fails, or is done.
        """
        remove(self._folder(namespace, digest))

    def _folder(self, namespace: str, digest: str) -> Path:
        return self._settings.imports_folder / namespace / digest.removeprefix("sha256:")

    def _manifest(self, namespace: str, digest: str) -> BasisManifest:
        try:
            content = (self._folder(namespace, digest) / MANIFEST_FILE).read_bytes()
        except FileNotFoundError:
            raise _given_up(digest) from None
        return BasisManifest.from_canonical_bytes(content, digest)

    def _begin(self, folder: Path, manifest: BasisManifest) -> None:
        sweep(self._settings.imports_folder, KEPT, datetime.now(UTC))
        make_folder(folder.parent)
        under_way = sum(1 for _ in folder.parent.iterdir())
        if under_way >= self._settings.max_imports:
            raise Conflict(
                f"{under_way} imports are under way in {folder.parent.name}, as many as may be: "
                f"finish one, or give one up; {KEPT.days} day after its last file it goes"
            )
        needed = _COPIES * sum(entry.bytes for entry in manifest.files())
        check_disk(self._settings.data, needed, self._settings.min_free_bytes)
        with self._staging.path() as staged:
            staged.mkdir()
            (staged / MANIFEST_FILE).write_bytes(manifest.canonical_bytes())
            flush(staged)
            try:
                place(staged, folder)
            except OSError:
                if not folder.exists():  # otherwise the same import began twice at once
                    raise

    def _publish_known(
        self, principal: Principal, namespace: str, name: str, manifest: BasisManifest
    ) -> PublishedVersion | None:
        """Name a basis that the token may see already: none of its bytes need to be sent."""
        reference = BasisReference(digest=manifest.digest())
        with self._catalog.reading() as session:
            try:
                bases.resolve(session, reference, principal.namespace)
            except UnknownBasis:
                return None
        try:
            with self._one_at_a_time():
                self._store.verify(manifest.digest())
        except CorruptFile:  # so that an import mends what a disk has lost
            return None
        with self._catalog.writing() as session:
            try:
                bases.resolve(session, reference, principal.namespace)
            except UnknownBasis:  # deleted at this moment
                return None
            version = self._name(session, principal, namespace, name, manifest)
        tidy(self._folder(namespace, manifest.digest()))
        return version

    def _name(
        self,
        session: Session,
        principal: Principal,
        namespace: str,
        name: str,
        manifest: BasisManifest,
    ) -> PublishedVersion:
        row = bases.add_version(
            session, manifest, namespace, name, by=principal.name, now=datetime.now(UTC)
        )
        if not self._store.holds(row.digest):
            # `gc` took it, nameless as it was, before it had this name; the same bytes come again.
            raise Overloaded("the basis was just removed; import it again", retry_after=1)
        return bases.published(row)

    def _publish(
        self,
        principal: Principal,
        namespace: str,
        name: str,
        manifest: BasisManifest,
        folder: Path,
    ) -> PublishedVersion:
        with self._one_at_a_time():
            self._copy(manifest, folder)
            with self._catalog.writing() as session:
                version = self._name(session, principal, namespace, name, manifest)
        tidy(folder)
        return version

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Read a whole basis, of up to `max_basis_bytes`, while nobody else does.

        Who waits for his turn would hold a thread that answers requests.

        Raises:
            Overloaded: when somebody does.
        """
        if not self._reading.acquire(blocking=False):
            raise Overloaded("another basis is being published; come again", retry_after=1)
        try:
            yield
        finally:
            self._reading.release()

    def _copy(self, manifest: BasisManifest, folder: Path) -> None:
        """Put the files into the store, whole."""
        key = f"import-{uuid.uuid4().hex}"
        try:
            with self._store.draft(key) as draft:
                for entry in manifest.files():
                    if draft.add(entry.name, _pieces(folder / entry.name)) != entry:
                        remove(folder / entry.name)
                        raise CorruptFile(f"{entry.name} was damaged on the disk; send it again")
                draft.publish(manifest)
        except FileNotFoundError:
            raise _given_up(manifest.digest()) from None
        finally:
            tidy(self._settings.partial_folder / key)


def sweep(folder: Path, older_than: timedelta, now: datetime) -> list[Path]:
    """Remove imports that nobody went on with; answers which.

    Args:
        folder: the server's folder of imports.
        older_than: time since their last file came.
        now: the time.
    """
    limit = (now - older_than).timestamp()
    left = [path for path in folder.glob("*/*") if _changed(path) < limit]
    for path in left:
        tidy(path)
    return left


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # published at this moment
        return float("inf")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _given_up(digest: str) -> NotFound:
    return NotFound(f"no import of {digest} is under way: send its manifest first")
