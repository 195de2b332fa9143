"""Bases: found, read, compared."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import Field

from sparsegrad_shared.bases import (
    MANIFEST_FILE,
    BasisDifference,
    BasisList,
    BasisManifest,
    BasisVersion,
)
from sparsegrad_shared.calibrations import Text
from sparsegrad_shared.digests import content_digest
from sparsegrad_shared.errors import NotFound
from sparsegrad_shared.references import BasisReference, Digest, QualifiedName, Segment

from ..catalog import bases
from ..jobs.difference import difference
from .dependencies import BasesOf, CatalogOf, Reader

router = APIRouter(tags=["bases"], prefix="/bases")

Version = Annotated[int, Field(ge=1)]


@router.get("")
def search_bases(
    principal: Reader,
    catalog: CatalogOf,
    ref: str | None = None,
    name: QualifiedName | None = None,
    model: Text | None = None,
    digest: Digest | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> BasisList:
    """The bases that the token may see, newest first; with `ref`, exactly the one it names."""
    with catalog.reading() as session:
        if ref is not None:
            reference = BasisReference.parse(ref)
            row = bases.resolve(session, reference, principal.namespace)
            return BasisList(bases=(bases.describe(session, row),))
        found = bases.search(
            session, principal.namespace, name=name, model=model, digest=digest, limit=limit
        )
        return BasisList(bases=tuple(found))


@router.get("/{a}/diff/{b}")
def compare_bases(
    a: Digest, b: Digest, principal: Reader, catalog: CatalogOf, store: BasesOf
) -> BasisDifference:
    """Principal angles between the leading subspaces of two bases, for each group of both."""
    with catalog.reading() as session:
        manifests = [
            bases.describe(
                session, bases.resolve(session, BasisReference.parse(digest), principal.namespace)
            ).manifest
            for digest in (a, b)
        ]
    return difference(store, *manifests)


def _visible(
    namespace: Segment, name: Segment, version: Version, principal: Reader, catalog: CatalogOf
) -> BasisVersion:
    with catalog.reading() as session:
        reference = BasisReference(namespace, name, version)
        return bases.describe(session, bases.resolve(session, reference, principal.namespace))


VisibleVersion = Annotated[BasisVersion, Depends(_visible)]


@router.get("/{namespace}/{name}/versions/{version}")
def get_version(basis: VisibleVersion) -> BasisVersion:
    """A version: its manifest, where it comes from, and the aliases that name it."""
    return basis


@router.get("/{namespace}/{name}/versions/{version}/files/{file}", response_class=FileResponse)
def get_file(
    file: str,
    basis: VisibleVersion,
    store: BasesOf,
    request: Request,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """A file of a basis; its bytes never change, so a copy may be kept for ever.

    Ranges are answered (RFC 9110, section 14). `Content-Digest` is that of the bytes sent and so
    comes with whole files only; `Repr-Digest` is always that of the whole file (RFC 9530).
    """
    digest = _file_digest(basis.manifest, file)
    etag = f'"{digest}"'
    headers = {
        "ETag": etag,
        "Cache-Control": "private, max-age=31536000, immutable",
        "Repr-Digest": content_digest(digest),
    }
    if if_none_match is not None and _lists(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    if "range" not in request.headers:
        headers["Content-Digest"] = content_digest(digest)
    path = store.file(basis.digest, file)
    media = "application/json" if file.endswith(".json") else "application/octet-stream"
    return FileResponse(path, headers=headers, media_type=media, stat_result=path.stat())


def _file_digest(manifest: BasisManifest, file: str) -> str:
    digests = {entry.name: entry.digest for entry in manifest.files()}
    digests[MANIFEST_FILE] = manifest.digest()
    if file not in digests:
        raise NotFound(f"no file {file!r}; the basis has {', '.join(sorted(digests))}")
    return digests[file]


def _lists(header: str, etag: str) -> bool:
    """Whether an If-None-Match header lists `etag`, by weak comparison (RFC 9110, 8.8.3.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return etag in tags or tags == ["*"]
