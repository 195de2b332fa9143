"""What an answer means: a value, the exception that the server raised, or not our server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from sparsegrad_shared.bases import BasisList, BasisVersion, FileEntry
from sparsegrad_shared.errors import (
    PROBLEM_MEDIA_TYPE,
    CorruptFile,
    Problem,
    ServerFault,
    ServerUnreachable,
    SparseGradError,
    from_problem,
)

M = TypeVar("M", bound=BaseModel)
_GATEWAY_STATUSES = (502, 503, 504)  # what a proxy says when the server behind it is gone


@dataclass(frozen=True)
class Answer:
    """A whole answer.

    Attributes:
        request: the request in words, for messages: ``GET http://…``.
        status: the HTTP status.
        media_type: the Content-Type without parameters.
        retry_after: the Retry-After header in seconds, where there is one.
        content: the body; empty when it was saved.
        digest: the saved body's digest.
    """

    request: str
    status: int
    media_type: str
    retry_after: float | None
    content: bytes
    digest: str | None = None


def parsed(model: type[M]) -> Callable[[Answer], M]:
    """A reader of answers that hold a `model` as JSON."""

    def parse(answer: Answer) -> M:
        raise_for_error(answer)
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the body"
            raise ServerFault(
                f"{answer.request}: expected a {model.__name__}; {where}: {first['msg']}. "
                "Is it a SparseGrad server, of a version that fits this client?"
            ) from None

    return parse


def parse_only_basis(answer: Answer) -> BasisVersion:
    """The one basis of a search by reference."""
    bases = parsed(BasisList)(answer).bases
    if len(bases) != 1:
        raise ServerFault(f"{answer.request}: expected one basis, got {len(bases)}")
    return bases[0]


def saved(file: FileEntry) -> Callable[[Answer], None]:
    """A reader of answers whose body was saved: holds it to the file's digest."""

    def parse(answer: Answer) -> None:
        raise_for_error(answer)
        if answer.digest != file.digest:
            raise CorruptFile(
                f"{answer.request}: expected {file.digest}, found {answer.digest}; "
                "the file is damaged on the server or was changed on the way"
            )

    return parse


def done(answer: Answer) -> None:
    """A reader of answers that say no more than that it was done."""
    raise_for_error(answer)


def raise_for_error(answer: Answer) -> None:
    """Raise what an answer that is no success stands for.

    Raises:
        SparseGradError: of the class that the server raised.
    """
    if 200 <= answer.status < 300:
        return
    if answer.media_type == PROBLEM_MEDIA_TYPE:
        raise _from_problem(answer)
    text = " ".join(answer.content[:300].decode(errors="replace").split())
    came = f"{answer.request}: answered {answer.status} ({answer.media_type or 'no type'}): {text}"
    if answer.status in _GATEWAY_STATUSES:
        raise ServerUnreachable(
            f"{came}\nA proxy answered for the server: is the server running behind it?",
            retry_after=answer.retry_after,
        )
    raise ServerFault(f"{came}\nThis is not an answer of a SparseGrad server; check the address.")


def _from_problem(answer: Answer) -> SparseGradError:
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValidationError:
        return ServerFault(f"{answer.request}: answered {answer.status} with a broken problem")
    if problem.retry_after is None:
        problem = problem.model_copy(update={"retry_after": answer.retry_after})
    return from_problem(problem)
