"""Bases: found, read, compared."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import FileResponse

from sparsegrad_shared.bases import (
    MANIFEST_FILE,
    BasisDifference,
    BasisList,
    BasisManifest,
)
from sparsegrad_shared.digests import content_digest
from sparsegrad_shared.errors import PROBLEM_MEDIA_TYPE, NotFound
from sparsegrad_shared.references import BasisReference, Digest
from sparsegrad_shared.search import BasisQuery

from ..catalog import bases
from ..catalog.search import search
from .dependencies import BasesOf, CatalogOf, ComparisonsOf, Reader
from .visibility import VisibleVersion

router = APIRouter(tags=["bases"], prefix="/bases")

_BYTES: dict[str, object] = {"application/octet-stream": {}, "application/json": {}}
_FILE: dict[int | str, dict[str, object]] = {
    200: {"description": "the file", "content": _BYTES},
    206: {"description": "a range of it", "content": {**_BYTES, "multipart/byteranges": {}}},
    304: {"description": "the client's copy is right"},
    416: {"description": "it ends before the range", "content": {PROBLEM_MEDIA_TYPE: {}}},
}


@router.get("")
def search_bases(
    query: Annotated[BasisQuery, Query()], principal: Reader, catalog: CatalogOf
) -> BasisList:
    """The bases that the token may see, newest first; with `ref`, exactly the one it names."""
    with catalog.reading() as session:
        if query.ref is None:
            return search(session, query, principal.namespace)
        reference = BasisReference.parse(query.ref)
        row = bases.resolve(session, reference, principal.namespace)
        return BasisList(bases=tuple(bases.describe(session, [row])))


@router.get("/{a}/diff/{b}")
async def compare_bases(
    a: Digest,
    b: Digest,
    principal: Reader,
    comparisons: ComparisonsOf,
) -> BasisDifference:
    """Principal angles between the leading subspaces of two bases, for each group of both.

    One is worked out at a time, apart from the event loop; few may wait, then it is 429.
    """
    references = BasisReference.parse(a), BasisReference.parse(b)
    return await comparisons.compare(*references, principal.namespace)


@router.get(
    "/{namespace}/{name}/versions/{version}/files/{file}",
    response_class=FileResponse,
    responses=_FILE,
)
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
