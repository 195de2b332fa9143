"""Fetch a basis, from the cache where it is whole, from the server where not.

A cached basis is the folder ``HOME/bases/<hex digest>/`` with the manifest and the files that it
lists. Files are downloaded aside, held to their digests, fsynced, and appear under their name by
one rename, so that two processes may fetch the same basis at once. Every load verifies every
file; a damaged one is reported and fetched again. A basis that some model of the process uses is
in memory once, however often it is fetched.
"""

from __future__ import annotations

import warnings
import weakref
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from sparsegrad_shared.bases import BASIS_TENSORS, BasisGroup
from sparsegrad_shared.errors import (
    CorruptFile,
    MissingExtra,
    ServerUnreachable,
    SparseGradError,
)
from sparsegrad_shared.progress import Progress, ignore
from sparsegrad_shared.references import BasisReference

from .basis import Basis, GroupBasis
from .cache import BasisCache, ResolvedVersions, download
from .connection import open_service, server_name
from .home import bases_folder, resolved_folder
from .service import BasisService
from .sharing.files import open_files

_NO_SERVER = (ServerUnreachable, MissingExtra)

# Groups that somebody uses at present, by the basis's digest and their name.
_in_use: weakref.WeakValueDictionary[tuple[str, str], GroupBasis] = weakref.WeakValueDictionary()


def fetch_basis(
    reference: str | Path,
    server: str | None = None,
    token: str | None = None,
    *,
    progress: Progress = ignore,
) -> Basis:
    """Fetch a basis by name, version, alias or digest, or from files.

    A path is that of an exported file or folder, such as one that came from a model hub; it needs
    no server, nor does a digest whose basis is cached. A version never changes, so one that was
    fetched before is taken from the cache when the server does not answer; an alias or a bare
    name may have moved, and needs its server.

    Args:
        reference: ``team/name``, ``team/name@3``, ``team/name:alias`` or ``sha256:…``; or a
            `Path`.
        server: the server's address; `SPARSEGRAD_SERVER` or the embedded server when None.
        token: proves who asks; `SPARSEGRAD_TOKEN` when None.
        progress: told how much of it has come; nothing when it is in the cache.

    Raises:
        InvalidReference: when `reference` is none of these forms.
        InvalidInput: when there is no basis at that path.
        UnknownBasis: when the server has no such basis.
        ServerUnreachable: when the basis is not cached and no answer comes.
        CorruptFile: when a file is damaged and cannot be fetched again.
    """
    cache = BasisCache(bases_folder())
    if isinstance(reference, Path):
        return _load(cache, cache.take(open_files(reference)), None)
    parsed = BasisReference.parse(reference)
    if parsed.digest is not None and cache.is_whole(parsed.digest):
        return _load(cache, parsed.digest, None)
    name = server_name(server)
    try:
        with open_service(server, token) as service:
            return fetch_with(service, reference, name, progress)
    except _NO_SERVER as error:
        digest = parsed.digest or ResolvedVersions(resolved_folder(), name).digest(parsed)
        if digest is None or not cache.is_whole(digest):
            raise _cannot_mend(cache, digest, error) from error
        warnings.warn(f"{reference} comes from the cache: {error}", stacklevel=2)
        return _load(cache, digest, reference)


def fetch_with(
    service: BasisService, reference: str, server: str, progress: Progress = ignore
) -> Basis:
    """Fetch a basis from a service that is already open; see `fetch_basis`.

    Args:
        service: the service.
        reference: which basis.
        server: the server's name, under which the version is remembered.
        progress: told how much of it has come.
    """
    version = download(service, reference, server, progress)
    return _load(BasisCache(bases_folder()), version.digest, str(version))


def _cannot_mend(cache: BasisCache, digest: str | None, error: SparseGradError) -> SparseGradError:
    if digest is None or not cache.has(digest):
        return error
    damage = cache.damage(digest)
    return CorruptFile(f"{'; '.join(map(str, damage))}. It would be fetched again, but: {error}")


def _load(cache: BasisCache, digest: str, reference: str | None) -> Basis:
    manifest = cache.manifest(digest)
    groups = {
        group.name: _shared_group(digest, cache.file(digest, group.file.name), group)
        for group in manifest.groups
    }
    return Basis(digest=digest, groups=groups, reference=reference, model=manifest.model.id)


def _shared_group(digest: str, path: Path, group: BasisGroup) -> GroupBasis:
    held = _in_use.get((digest, group.name))
    if held is None:
        held = _in_use.setdefault((digest, group.name), _load_group(path, group))
    return held


def _load_group(path: Path, group: BasisGroup) -> GroupBasis:
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CorruptFile(f"{path}: not a file of tensors: {error}") from None
    missing = [name for name in BASIS_TENSORS if name not in tensors]
    if missing:
        raise CorruptFile(f"{path}: it has no {', '.join(missing)}")
    shapes = {"U": (group.d_in, group.rank_in), "V": (group.d_out, group.rank_out)}
    for name, shape in shapes.items():
        if tuple(tensors[name].shape) != shape:
            raise CorruptFile(
                f"{path}: {name}: expected {shape}, found {tuple(tensors[name].shape)}"
            )
    return GroupBasis(
        name=group.name,
        layers=group.layers,
        U=tensors["U"],
        V=tensors["V"],
        eigenvalues_in=tensors["eigenvalues_in"],
        eigenvalues_out=tensors["eigenvalues_out"],
    )
