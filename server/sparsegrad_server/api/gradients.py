"""Gradients: one PUT a slot."""

from __future__ import annotations

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Request, Response

from sparsegrad_shared.calibrations import MAX_SLOTS, GradientStored
from sparsegrad_shared.references import Segment

from ..auth.principal import Principal
from ..catalog.gradients import Slot
from ..guard import allow_body
from ..ingest.admission import Admission
from ..ingest.body import new_body
from ..ingest.receive import Promise, read_promise, receive
from ..ingest.uploads import Announced, Uploads
from .dependencies import AdmissionOf, SettingsOf, StagingOf, UploadsOf, Writer

router = APIRouter(tags=["gradients"])

_ADVICE = "send it factored, in a smaller data type, or as sums"

# The body is read as a stream, which the framework cannot see.
_BODY = {
    "requestBody": {
        "required": True,
        "description": "safetensors: `G`; `g` and `x`; or `A_in` and `A_out`, with `count` and "
        "`zero_count` in the metadata. `Content-Length` and `Content-Digest` (sha-256) are needed.",
        "content": {"application/octet-stream": {}},
    }
}


@router.put(
    "/calibrations/{calibration_id}/gradients/{group}/{index}",
    status_code=201,
    responses={200: {"model": GradientStored, "description": "the same bytes were stored before"}},
    openapi_extra=_BODY,
)
async def put_gradient(
    request: Request,
    response: Response,
    calibration_id: Segment,
    group: Segment,
    index: Annotated[int, Path(ge=0, lt=MAX_SLOTS * 2)],
    principal: Writer,
    settings: SettingsOf,
    admission: AdmissionOf,
    staging: StagingOf,
    uploads: UploadsOf,
) -> GradientStored:
    """Store one gradient; answered only when it is on disk."""
    slot = Slot(calibration_id, group, index)
    promise = read_promise(request.headers, settings.max_gradient_bytes, "a gradient", _ADVICE)
    allow_body(request, promise.size)
    with admission.upload(promise.size) as in_memory:
        announced = await run_sync(_admit, admission, uploads, principal, slot, promise)
        async with new_body(request, promise.size, staging, in_memory=in_memory) as body:
            await receive(request.stream(), promise, body)
            outcome = await run_sync(
                uploads.keep, slot, announced, promise, body, limiter=admission.encoders
            )
    response.status_code = 201 if outcome.new else 200
    return outcome.stored


def _admit(
    admission: Admission, uploads: Uploads, principal: Principal, slot: Slot, promise: Promise
) -> Announced:
    admission.check_disk()
    return uploads.admit(principal, slot, promise)
