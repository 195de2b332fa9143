"""The exceptions of SparseGrad, and how they travel over HTTP.

::

    SparseGradError
    ├── InvalidInput                 422  a value that cannot be used as it stands
    │   ├── InvalidReference         422  not a reference to a basis
    │   ├── InvalidTensor            422  bytes that are not the tensors they should be
    │   │   ├── NonFiniteGradient    422
    │   │   └── ShapeMismatch        422
    │   ├── DigestMismatch           422  bytes that are not those that were promised
    │   ├── TruncatedBody            400  fewer bytes than were promised
    │   └── UnsupportedModel         422  a model or layer that we do not know how to treat
    ├── Unauthenticated              401
    ├── Forbidden                    403
    ├── NotFound                     404
    │   ├── UnknownCalibration       404
    │   ├── UnknownGroup             404
    │   ├── UnknownJob               404
    │   └── UnknownBasis             404
    │       └── DeletedBasis         410  there was one, and its number is never given out again
    ├── Conflict                     409  right in itself, but not in the present state
    │   ├── SlotTaken                409  another gradient is stored at that index
    │   ├── SlotBusy                 409  another upload is writing that index now
    │   ├── CalibrationClosed        409
    │   ├── VersionInUse             409  an alias or a pin holds it
    │   └── NoGradients              409
    ├── PreconditionFailed           412  a compare-and-set that lost
    ├── BodyTooLarge                 413
    ├── QuotaExceeded                413
    ├── Overloaded                   429  come again after `retry_after` seconds
    ├── Unavailable                  503  the catalog or the storage is away; come again likewise
    ├── Stopping                     503  the server ends; it takes no more work
    ├── BodyTimeout                  408
    ├── StorageFull                  507
    ├── JobFailed                    500  a job ended in an error
    ├── ServerUnreachable                 client only: no answer came
    ├── ServerFault                  500  the server's own fault; its log has the rest
    ├── MissingExtra                      client only: a part is not installed
    ├── CorruptFile                  500  a file whose bytes are not those once written
    ├── WrongBasis                        client only: an adapter on another basis
    └── RankFailed                        client only: another process of the same run failed

On the wire an error is a problem (RFC 9457): its `type` is the class's stable name as a URN, so
that a client raises the class that the server raised.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

PROBLEM_MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:sparsegrad:error:"


class Problem(BaseModel):
    """An error as it travels: RFC 9457's members, and when to come again."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str = Field(examples=[f"{TYPE_PREFIX}unknown-group"])
    title: str
    status: int
    detail: str
    instance: str | None = None
    retry_after: float | None = Field(default=None, description="seconds")
    request_id: str | None = Field(default=None, description="what the server's log has it under")


class SparseGradError(Exception):
    """The root of every error that SparseGrad raises on purpose.

    Args:
        message: what was expected, what came, where, and what to do next.
        retry_after: seconds after which the same request may succeed.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "SparseGrad error"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    @classmethod
    def type_uri(cls) -> str:
        """The stable `type` of this class's problems."""
        return TYPE_PREFIX + re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    def to_problem(self, instance: str | None = None) -> Problem:
        """This error as it travels over HTTP."""
        return Problem(
            type=self.type_uri(),
            title=self.title,
            status=self.status,
            detail=_sayable(self.message),
            instance=instance,
            retry_after=self.retry_after,
        )


def _sayable(text: str) -> str:
    # JSON may hold half a surrogate pair, and a message quote it; no answer can (RFC 3629).
    return text.encode(errors="backslashreplace").decode()


class InvalidInput(SparseGradError):
    """A value that cannot be used as it stands."""

    status = 422
    title = "Invalid input"


class InvalidReference(InvalidInput):
    """A text that is not a reference to a basis."""

    title = "Invalid reference to a basis"


class InvalidTensor(InvalidInput):
    """Bytes that are not the tensors they should be."""

    title = "Invalid tensor"


class NonFiniteGradient(InvalidTensor):
    """A gradient with NaN or infinity in it."""

    title = "Gradient is not finite"


class ShapeMismatch(InvalidTensor):
    """A tensor of another shape or data type than its place takes."""

    title = "Shape mismatch"


class DigestMismatch(InvalidInput):
    """Bytes whose digest is not the one that was promised."""

    title = "Digest mismatch"


class TruncatedBody(InvalidInput):
    """A body that ended before it was whole."""

    status = 400
    title = "Truncated body"


class UnsupportedModel(InvalidInput):
    """A model or a layer that we do not know how to treat."""

    title = "Unsupported model"


class Unauthenticated(SparseGradError):
    """No token, or one that is not known."""

    status = 401
    title = "Not authenticated"


class Forbidden(SparseGradError):
    """A known token without the scope that the route needs."""

    status = 403
    title = "Forbidden"


class NotFound(SparseGradError):
    """Something that is not there, or that this token may not see."""

    status = 404
    title = "Not found"


class UnknownCalibration(NotFound):
    """No calibration of that id."""

    title = "Unknown calibration"


class UnknownGroup(NotFound):
    """No such group in the calibration or the basis."""

    title = "Unknown group"


class UnknownJob(NotFound):
    """No job of that id."""

    title = "Unknown job"


class UnknownBasis(NotFound):
    """No basis under that name, version, alias or digest."""

    title = "Unknown basis"


class DeletedBasis(UnknownBasis):
    """A version or an alias that was deleted."""

    status = 410
    title = "Deleted basis"


class Conflict(SparseGradError):
    """A request that is right in itself, but not in the present state."""

    status = 409
    title = "Conflict"


class SlotTaken(Conflict):
    """Another gradient is already stored at that index."""

    title = "Another gradient is stored there"


class SlotBusy(Conflict):
    """Another upload is writing that index at this moment."""

    title = "Another upload is writing there"


class CalibrationClosed(Conflict):
    """The calibration was finished, or has expired, and takes no more gradients."""

    title = "Calibration is closed"


class VersionInUse(Conflict):
    """A version that cannot be deleted, since an alias or a pin holds it."""

    title = "Version is in use"


class NoGradients(Conflict):
    """A finish before any gradient had arrived."""

    title = "No gradients"


class PreconditionFailed(SparseGradError):
    """A compare-and-set whose comparison failed."""

    status = 412
    title = "Precondition failed"


class BodyTooLarge(SparseGradError):
    """A body over the limit."""

    status = 413
    title = "Body too large"


class QuotaExceeded(SparseGradError):
    """More bytes than the namespace may hold."""

    status = 413
    title = "Quota exceeded"


class Overloaded(SparseGradError):
    """Too many uploads at once."""

    status = 429
    title = "Too many requests"


class Unavailable(SparseGradError):
    """Something that the server needs does not answer: its catalog, or its storage."""

    status = 503
    title = "Not available at this moment"


class Stopping(SparseGradError):
    """A server that was asked to stop."""

    status = 503
    title = "Server is stopping"


class BodyTimeout(SparseGradError):
    """A body that came too slowly."""

    status = 408
    title = "Body took too long"


class StorageFull(SparseGradError):
    """Less free disk than the server's floor."""

    status = 507
    title = "Insufficient storage"


class JobFailed(SparseGradError):
    """A job that ended in an error."""

    title = "Job failed"


class ServerUnreachable(SparseGradError):
    """No answer came from the server."""

    status = 503
    title = "Server unreachable"


class ServerFault(SparseGradError):
    """A fault of the server's own."""

    title = "Internal server error"


class MissingExtra(SparseGradError):
    """A part of SparseGrad that is not installed."""

    title = "Not installed"


class CorruptFile(SparseGradError):
    """A file whose bytes are not those that were once written."""

    title = "Corrupt file"


class WrongBasis(SparseGradError):
    """An adapter put on a basis other than the one it was trained on."""

    title = "Wrong basis"


class RankFailed(SparseGradError):
    """Another process of the same run failed, or answers no more."""

    title = "Another rank failed"


def _family(root: type[SparseGradError]) -> Iterator[type[SparseGradError]]:
    yield root
    for child in root.__subclasses__():
        yield from _family(child)


def error_classes() -> dict[str, type[SparseGradError]]:
    """Every exception class, by the `type` of its problems."""
    return {cls.type_uri(): cls for cls in _family(SparseGradError)}


def from_problem(problem: Problem) -> SparseGradError:
    """The exception that a problem stands for.

    A type that this version does not know becomes the nearest thing that its status says.
    """
    cls = error_classes().get(problem.type)
    if cls is None:
        cls = ServerFault if problem.status >= 500 else InvalidInput
    return cls(problem.detail, retry_after=problem.retry_after)
