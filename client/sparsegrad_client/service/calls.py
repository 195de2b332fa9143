"""The requests of HTTP version 1, each a value: what to send, and how to read the answer.

Nothing here does I/O; `BasisService` and `AsyncBasisService` send the same calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import quote

from sparsegrad_shared.aliases import AliasStatus, AliasTarget
from sparsegrad_shared.bases import (
    BasisDifference,
    BasisList,
    BasisVersion,
    FileEntry,
    PublishedVersion,
)
from sparsegrad_shared.calibrations import (
    CalibrationCreated,
    CalibrationManifest,
    CalibrationStatus,
    GradientStored,
)
from sparsegrad_shared.digests import content_digest
from sparsegrad_shared.framing import Frame
from sparsegrad_shared.jobs import JobStatus
from sparsegrad_shared.references import parse_name

from .answers import Answer, parse_only_basis, parsed, saved

T = TypeVar("T")
_FRAME_MEDIA_TYPE = "application/octet-stream"


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request.

    Attributes:
        method: the HTTP method.
        path: the path under the server's address.
        parse: turns the answer into a value, or raises what the server says.
        params: the query.
        headers: headers beyond those of every request.
        body: what is sent: bytes, or a frame in its pieces.
        idempotent: whether sending it twice does what sending it once does.
        save: where a successful answer's body is written; None keeps it in memory.
    """

    method: str
    path: str
    parse: Callable[[Answer], T]
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Frame = b""
    idempotent: bool = True
    save: Save | None = None


@dataclass(frozen=True)
class Save:
    """Where a body is written, and the bytes it may have at most."""

    path: Path
    max_bytes: int


def _path(*segments: str | int) -> str:
    return "/v1/" + "/".join(quote(str(segment), safe=":@") for segment in segments)


def _json(body: str) -> dict[str, str]:
    return {"Content-Type": "application/json", "Content-Length": str(len(body.encode()))}


def create_calibration(manifest: CalibrationManifest) -> Call[CalibrationCreated]:
    """`POST /v1/calibrations`; twice makes two."""
    body = manifest.model_dump_json()
    return Call(
        "POST",
        _path("calibrations"),
        parsed(CalibrationCreated),
        headers=_json(body),
        body=body.encode(),
        idempotent=False,
    )


def put_gradient(calibration: str, group: str, index: int, frame: Frame) -> Call[GradientStored]:
    """`PUT …/gradients/{group}/{index}`; the same bytes again are welcome."""
    return Call(
        "PUT",
        _path("calibrations", calibration, "gradients", group, index),
        parsed(GradientStored),
        headers={
            "Content-Type": _FRAME_MEDIA_TYPE,
            "Content-Length": str(frame.size),
            "Content-Digest": content_digest(frame.digest()),
        },
        body=frame,
    )


def calibration_status(calibration: str) -> Call[CalibrationStatus]:
    """`GET /v1/calibrations/{id}`."""
    return Call("GET", _path("calibrations", calibration), parsed(CalibrationStatus))


def finish(calibration: str) -> Call[JobStatus]:
    """`POST …/finish`; a second one answers the same job."""
    return Call("POST", _path("calibrations", calibration, "finish"), parsed(JobStatus))


def job(job_id: str) -> Call[JobStatus]:
    """`GET /v1/jobs/{id}`."""
    return Call("GET", _path("jobs", job_id), parsed(JobStatus))


def job_events_path(job_id: str) -> str:
    """Where a job's server-sent events are."""
    return _path("jobs", job_id, "events")


def find_bases(
    *, name: str | None, model: str | None, digest: str | None, limit: int | None
) -> Call[BasisList]:
    """`GET /v1/bases`."""
    query = {"name": name, "model": model, "digest": digest, "limit": limit}
    params = {key: str(value) for key, value in query.items() if value is not None}
    return Call("GET", _path("bases"), parsed(BasisList), params=params)


def resolve(reference: str) -> Call[BasisVersion]:
    """`GET /v1/bases?ref=…`: the one basis that a reference means."""
    return Call("GET", _path("bases"), parse_only_basis, params={"ref": reference})


def version(name: str, number: int) -> Call[BasisVersion]:
    """`GET /v1/bases/{namespace}/{name}/versions/{n}`."""
    return Call("GET", _path("bases", *parse_name(name), "versions", number), parsed(BasisVersion))


def download_file(published: PublishedVersion, file: FileEntry, path: Path) -> Call[None]:
    """`GET …/versions/{n}/files/{file}`, written to `path` and held to the file's digest."""
    where = _path(
        "bases", *parse_name(published.name), "versions", published.version, "files", file.name
    )
    return Call("GET", where, saved(file), save=Save(path, file.bytes))


def alias(name: str, alias_name: str) -> Call[AliasStatus]:
    """`GET …/aliases/{alias}`."""
    return Call(
        "GET", _path("bases", *parse_name(name), "aliases", alias_name), parsed(AliasStatus)
    )


def set_alias(
    name: str, alias_name: str, number: int, *, expected: int | None
) -> Call[AliasStatus]:
    """`PUT …/aliases/{alias}`: a compare-and-set, so a lost answer must not be sent again."""
    body = AliasTarget(version=number).model_dump_json()
    condition = {"If-None-Match": "*"} if expected is None else {"If-Match": f'"{expected}"'}
    return Call(
        "PUT",
        _path("bases", *parse_name(name), "aliases", alias_name),
        parsed(AliasStatus),
        headers=_json(body) | condition,
        body=body.encode(),
        idempotent=False,
    )


def diff(a: str, b: str) -> Call[BasisDifference]:
    """`GET /v1/bases/{a}/diff/{b}`, by digests."""
    return Call("GET", _path("bases", a, "diff", b), parsed(BasisDifference))
