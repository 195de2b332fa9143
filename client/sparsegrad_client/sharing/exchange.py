"""Bases between a server and the files of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sparsegrad_shared.bases import MANIFEST_FILE, BasisVersion, PublishedVersion
from sparsegrad_shared.errors import InvalidInput, ServerFault
from sparsegrad_shared.progress import InBytes, Progress, ignore

from ..cache import BasisCache, download
from ..connection import open_service, server_name
from ..folders import new_folder
from ..home import bases_folder
from ..report.reading import cached_report
from ..service import BasisService
from .archive import check_new, write_archive
from .card import CARD_FILE, write_card
from .files import BasisFiles, open_files, open_folder

SENDING = InBytes("sending the basis")
_ROUNDS = 3  # a file that the server's disk damaged is asked for again


def export_file(
    reference: str,
    path: Path,
    server: str | None = None,
    token: str | None = None,
    progress: Progress = ignore,
) -> BasisVersion:
    """Write a basis as one file.

    Args:
        reference: which basis.
        path: a new file.
        server: the server's address; `SPARSEGRAD_SERVER` or the embedded server when None.
        token: proves who asks; `SPARSEGRAD_TOKEN` when None.
        progress: told how much of it has come.

    Raises:
        UnknownBasis: when the server has no such basis.
        InvalidInput: when something is at `path` already.
        CorruptFile: when a file is damaged and cannot be fetched again.
    """
    check_new(path)  # before anything is fetched for nothing
    version, files = _fetch(reference, server, token, progress)
    write_archive(files, path)
    return version


def export_folder(
    reference: str,
    folder: Path,
    server: str | None = None,
    token: str | None = None,
    progress: Progress = ignore,
) -> BasisVersion:
    """Write a basis as a folder with a card, which a model hub takes as it is.

    An export of a basis that stands there already is replaced; anything else is refused.

    Args:
        reference: which basis.
        folder: a new folder.
        server: the server's address; `SPARSEGRAD_SERVER` or the embedded server when None.
        token: proves who asks; `SPARSEGRAD_TOKEN` when None.
        progress: told how much of it has come.

    Raises:
        UnknownBasis: when the server has no such basis.
        InvalidInput: when something else is at `folder` already.
        CorruptFile: when a file is damaged and cannot be fetched again.
    """
    version, files = _fetch(reference, server, token, progress)
    manifest = files.manifest
    names = {CARD_FILE, MANIFEST_FILE, *(entry.name for entry in manifest.files())}
    card = write_card(manifest, cached_report(version.digest))
    with new_folder(folder, replacing=names) as made:
        for entry in manifest.files():
            with (made / entry.name).open("wb") as target:
                target.writelines(files.verified(entry))
        (made / MANIFEST_FILE).write_bytes(manifest.canonical_bytes())
        (made / CARD_FILE).write_text(card, encoding="utf-8")
    return version


def import_basis(
    path: Path,
    name: str,
    server: str | None = None,
    token: str | None = None,
    progress: Progress = ignore,
) -> PublishedVersion:
    """Publish a basis from an exported file or folder on a server.

    Files that the server has are not sent: an import that was cut off goes on where it was, and a
    basis that the token may see already needs no file at all.

    Args:
        path: the file or folder.
        name: what to publish it as, such as ``team/minilm-cola``.
        server: the server's address; `SPARSEGRAD_SERVER` or the embedded server when None.
        token: proves who asks; `SPARSEGRAD_TOKEN` when None.
        progress: told how much of it is sent.

    Raises:
        InvalidInput: when there is no basis at `path`, or the server finds that it is none.
        CorruptFile: when a file is damaged.
    """
    files = open_files(path)
    with open_service(server, token) as service:
        return send_basis(service, files, name, progress)


def send_basis(
    service: BasisService, files: BasisFiles, name: str, progress: Progress
) -> PublishedVersion:
    """Publish a basis through a service that is open; see `import_basis`."""
    digest = files.manifest.digest()
    for _ in range(_ROUNDS):
        status = service.import_basis(name, files.manifest)
        if status.version is not None:
            return status.version
        sent, total = 0, sum(entry.bytes for entry in status.missing)
        for entry in status.missing:
            pieces = _Counted(files.verified(entry), sent, total, progress)
            try:
                service.import_file(name, digest, entry, pieces)
            except InvalidInput:
                service.give_up_import(name, digest)
                raise
            sent += entry.bytes
    raise ServerFault(f"{name}: the server asks for the same files again and again")


@dataclass(frozen=True)
class _Counted:
    """Pieces of a file, counted as they are asked for; anew when they are sent again."""

    pieces: Iterable[bytes | memoryview]
    before: int
    total: int
    progress: Progress

    def __iter__(self) -> Iterator[bytes | memoryview]:
        sent = self.before
        for piece in self.pieces:
            yield piece
            sent += len(piece)
            self.progress(SENDING, sent, self.total)


def _fetch(
    reference: str, server: str | None, token: str | None, progress: Progress
) -> tuple[BasisVersion, BasisFiles]:
    with open_service(server, token) as service:
        version = download(service, reference, server_name(server), progress)
    return version, open_folder(BasisCache(bases_folder()).folder(version.digest))
