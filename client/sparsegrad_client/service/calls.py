"""The requests of HTTP version 1, each a value: what to send, and how to read the answer.

Nothing here does I/O; `BasisService` and `AsyncBasisService` send the same calls. Here are those of
calibrations and jobs; `basis_calls` has those of bases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

from sparsegrad_shared.calibrations import (
    CalibrationCreated,
    CalibrationList,
    CalibrationManifest,
    CalibrationStatus,
    GradientStored,
)
from sparsegrad_shared.digests import content_digest
from sparsegrad_shared.framing import Frame
from sparsegrad_shared.jobs import JobStatus
from sparsegrad_shared.search import CalibrationQuery, Page

from .answers import Answer, parsed

T = TypeVar("T")
BYTES_MEDIA_TYPE = "application/octet-stream"


class Pieces(Protocol):
    """A body in pieces; can be read again for another attempt."""

    def __iter__(self) -> Iterator[bytes | memoryview]:
        """The pieces."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request.

    Attributes:
        method: the HTTP method.
        path: the path under the server's address.
        parse: turns the answer into a value, or raises what the server says.
        params: the query.
        headers: headers beyond those of every request.
        body: what is sent: bytes, or pieces such as a frame's or a file's.
        idempotent: whether sending it twice does what sending it once does.
        save: where a successful answer's body is written; None keeps it in memory.
    """

    method: str
    path: str
    parse: Callable[[Answer], T]
    params: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Pieces = b""
    idempotent: bool = True
    save: Save | None = None


OnBytes = Callable[[int], None]  # told how many bytes of a file have come so far


def nobody(_so_far: int) -> None:
    """For whom it is all one."""


@dataclass(frozen=True)
class Save:
    """Where a body is written, the bytes it may have at most, and who is told how many came."""

    path: Path
    max_bytes: int
    on_bytes: OnBytes = nobody


def path_of(*segments: str | int) -> str:
    """A path from its segments."""
    return "/v1/" + "/".join(quote(str(segment), safe=":@") for segment in segments)


def json_headers(body: bytes) -> dict[str, str]:
    """The headers of a body that is JSON."""
    return {"Content-Type": "application/json", "Content-Length": str(len(body))}


def params_of(query: Page) -> dict[str, str | list[str]]:
    """A query's members that say something."""
    members: dict[str, Any] = query.model_dump(exclude_defaults=True)
    return {
        name: [str(part) for part in value] if isinstance(value, tuple) else str(value)
        for name, value in members.items()
    }


def create_calibration(manifest: CalibrationManifest) -> Call[CalibrationCreated]:
    """`POST /v1/calibrations`; twice makes two."""
    # What is not said is left out, so that a server that does not know of it takes it as well.
    body = manifest.model_dump_json(exclude_defaults=True).encode()
    return Call(
        "POST",
        path_of("calibrations"),
        parsed(CalibrationCreated),
        headers=json_headers(body),
        body=body,
        idempotent=False,
    )


def put_gradient(calibration: str, group: str, index: int, frame: Frame) -> Call[GradientStored]:
    """`PUT …/gradients/{group}/{index}`; the same bytes again are welcome."""
    return Call(
        "PUT",
        path_of("calibrations", calibration, "gradients", group, index),
        parsed(GradientStored),
        headers={
            "Content-Type": BYTES_MEDIA_TYPE,
            "Content-Length": str(frame.size),
            "Content-Digest": content_digest(frame.digest()),
        },
        body=frame,
    )


def calibration_status(calibration: str) -> Call[CalibrationStatus]:
    """`GET /v1/calibrations/{id}`."""
    return Call("GET", path_of("calibrations", calibration), parsed(CalibrationStatus))


def find_calibrations(query: CalibrationQuery) -> Call[CalibrationList]:
    """`GET /v1/calibrations`: one page."""
    return Call("GET", path_of("calibrations"), parsed(CalibrationList), params=params_of(query))


def expire_calibration(calibration: str) -> Call[CalibrationStatus]:
    """`DELETE /v1/calibrations/{id}`."""
    return Call("DELETE", path_of("calibrations", calibration), parsed(CalibrationStatus))


def finish(calibration: str) -> Call[JobStatus]:
    """`POST …/finish`; a second one answers the same job."""
    return Call("POST", path_of("calibrations", calibration, "finish"), parsed(JobStatus))


def job(job_id: str) -> Call[JobStatus]:
    """`GET /v1/jobs/{id}`."""
    return Call("GET", path_of("jobs", job_id), parsed(JobStatus))


def job_events_path(job_id: str) -> str:
    """Where a job's server-sent events are."""
    return path_of("jobs", job_id, "events")
