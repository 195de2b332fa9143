"""Imports: a basis from elsewhere, sent file by file."""

from __future__ import annotations

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from sparsegrad_shared.bases import BasisManifest, ImportStatus
from sparsegrad_shared.errors import DigestMismatch
from sparsegrad_shared.references import Digest, Segment

from ..guard import allow_body
from ..ingest.body import new_body
from ..ingest.receive import read_promise, receive
from .dependencies import AdmissionOf, ImportsOf, StagingOf, Writer

router = APIRouter(tags=["imports"], prefix="/bases/{namespace}/{name}/imports/{digest}")

# The body is read as a stream, which the framework cannot see.
_BODY = {
    "requestBody": {
        "required": True,
        "description": "the file's bytes, with `Content-Length` and `Content-Digest` (sha-256)",
        "content": {"application/octet-stream": {}},
    }
}


@router.put("", responses={201: {"model": ImportStatus, "description": "it is published"}})
def import_basis(
    namespace: Segment,
    name: Segment,
    digest: Digest,
    manifest: BasisManifest,
    response: Response,
    principal: Writer,
    imports: ImportsOf,
) -> ImportStatus:
    """Begin an import, or go on with it: which files are missing; with none missing, publish.

    A basis that the token may see already is published under the name at once. Files that came
    are kept for a day after the last one.
    """
    principal.check(namespace)
    status = imports.go_on(principal, namespace, name, digest, manifest)
    response.status_code = 200 if status.version is None else 201
    return status


@router.put("/files/{file}", status_code=204, openapi_extra=_BODY)
async def import_file(
    request: Request,
    namespace: Segment,
    name: Segment,
    digest: Digest,
    file: str,
    principal: Writer,
    imports: ImportsOf,
    admission: AdmissionOf,
    staging: StagingOf,
) -> None:
    """Send one file of an import; answered only when it is looked into and on disk."""
    principal.check(namespace)
    entry = await run_sync(imports.entry, namespace, digest, file)
    promise = read_promise(request.headers, entry.bytes, "the file", "the manifest says so")
    if (promise.digest, promise.size) != (entry.digest, entry.bytes):
        raise DigestMismatch(
            f"{file}: the manifest says {entry.bytes} bytes of {entry.digest}; the headers "
            f"promise {promise.size} bytes of {promise.digest}"
        )
    allow_body(request, promise.size)
    with admission.upload(promise.size) as in_memory:
        await run_sync(admission.check_disk)
        async with new_body(request, promise.size, staging, in_memory=in_memory) as body:
            await receive(request.stream(), promise, body)
            await run_sync(imports.keep, namespace, digest, entry, body, limiter=imports.checkers)


@router.delete("", status_code=204)
def give_up_import(
    namespace: Segment, name: Segment, digest: Digest, principal: Writer, imports: ImportsOf
) -> None:
    """Forget an import, with the files that came."""
    principal.check(namespace)
    imports.give_up(namespace, digest)
