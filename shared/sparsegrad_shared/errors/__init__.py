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
    ├── PreconditionRequired         428  a compare-and-set that names nothing to compare with
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
    ├── RankFailed                        client only: another process of the same run failed
    ├── WrongUsage                        client only: a command line that means nothing
    ├── NotConfirmed                      client only: a question answered with no
    ├── Interrupted                       client only: Ctrl-C
    ├── FileRefused                       client only: a file that cannot be used here
    └── Unforeseen                        client only: nobody has put it in words yet

On the wire an error is a problem (RFC 9457): its `type` is the class's stable name as a URN, so
that a client raises the class that the server raised.
"""

from __future__ import annotations

from collections.abc import Iterator

from .access import (
    Forbidden,
    Unauthenticated,
)
from .commands import (
    FileRefused,
    Interrupted,
    NotConfirmed,
    Unforeseen,
    WrongUsage,
)
from .failures import (
    CorruptFile,
    JobFailed,
    MissingExtra,
    RankFailed,
    ServerFault,
    ServerUnreachable,
    WrongBasis,
)
from .inputs import (
    DigestMismatch,
    InvalidInput,
    InvalidReference,
    InvalidTensor,
    NonFiniteGradient,
    ShapeMismatch,
    TruncatedBody,
    UnsupportedModel,
)
from .limits import (
    BodyTimeout,
    BodyTooLarge,
    Overloaded,
    QuotaExceeded,
    Stopping,
    StorageFull,
    Unavailable,
)
from .root import (
    PROBLEM_MEDIA_TYPE,
    TYPE_PREFIX,
    Problem,
    SparseGradError,
)
from .state import (
    CalibrationClosed,
    Conflict,
    DeletedBasis,
    NoGradients,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
    SlotBusy,
    SlotTaken,
    UnknownBasis,
    UnknownCalibration,
    UnknownGroup,
    UnknownJob,
    VersionInUse,
)

__all__ = [
    "PROBLEM_MEDIA_TYPE",
    "TYPE_PREFIX",
    "BodyTimeout",
    "BodyTooLarge",
    "CalibrationClosed",
    "Conflict",
    "CorruptFile",
    "DeletedBasis",
    "DigestMismatch",
    "FileRefused",
    "Forbidden",
    "Interrupted",
    "InvalidInput",
    "InvalidReference",
    "InvalidTensor",
    "JobFailed",
    "MissingExtra",
    "NoGradients",
    "NonFiniteGradient",
    "NotConfirmed",
    "NotFound",
    "Overloaded",
    "PreconditionFailed",
    "PreconditionRequired",
    "Problem",
    "QuotaExceeded",
    "RankFailed",
    "ServerFault",
    "ServerUnreachable",
    "ShapeMismatch",
    "SlotBusy",
    "SlotTaken",
    "SparseGradError",
    "Stopping",
    "StorageFull",
    "TruncatedBody",
    "Unauthenticated",
    "Unavailable",
    "Unforeseen",
    "UnknownBasis",
    "UnknownCalibration",
    "UnknownGroup",
    "UnknownJob",
    "UnsupportedModel",
    "VersionInUse",
    "WrongBasis",
    "WrongUsage",
    "error_classes",
    "from_problem",
]


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
