"""Errors on their way out: each becomes an RFC 9457 problem.

What we raise on purpose says itself what is wrong. What the framework, the disk or the database
raises is translated here. What nobody foresaw becomes a `ServerFault` with the request's id: the
client sees the id, the log has the rest under it.
"""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from sparsegrad_shared.errors import (
    PROBLEM_MEDIA_TYPE,
    InvalidInput,
    NotFound,
    Problem,
    ServerFault,
    SparseGradError,
    StorageFull,
    Unauthenticated,
    Unavailable,
)

from . import context
from .catalog import failures
from .store.objects import StorageUnreachable
from .web.error_page import error_page, wants_page

_log = logging.getLogger(__name__)
_SHOWN = 200  # characters of a wrong value that are sent back
_COMPLAINTS = 20  # about one request
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
_TOO_MANY_OPEN = (errno.EMFILE, errno.ENFILE)  # files and connections, of the process or of all


def install(app: FastAPI) -> None:
    """Have `app` answer every error with a problem."""
    app.add_exception_handler(Exception, _answer)
    # Named apart, so that the framework does not treat them as crashes and log them itself.
    for kind in (SparseGradError, OSError, SQLAlchemyError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _answer)


def documented(*kinds: type[SparseGradError]) -> dict[int | str, dict[str, Any]]:
    """How OpenAPI describes the answers with these errors, for a router or a route."""
    titles: dict[int | str, list[str]] = {}
    for kind in kinds:
        titles.setdefault(kind.status, []).append(kind.title)
    # `Problem` is among the document's schemas, since a job's state has one.
    content = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": "; ".join(said), "content": content}
        for status, said in titles.items()
    }


def response_to(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """A problem as a response: a page for a browser that shows it, JSON for everybody else."""
    headers = dict(headers or {})
    current = context.request()
    if current is not None:
        problem = problem.model_copy(update={"request_id": current.id})
    if problem.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(problem.retry_after))
    if problem.status == Unauthenticated.status:
        headers["WWW-Authenticate"] = "Bearer"
    if current is not None and wants_page(current.scope):
        return error_page(problem, current.path, headers)
    content = problem.model_dump_json(exclude_none=True)
    return Response(content, problem.status, headers, PROBLEM_MEDIA_TYPE)


def translate(error: BaseException) -> SparseGradError:
    """The error that a client may see."""
    match error:
        case SparseGradError():
            return error
        case OSError(errno=number) if number in _FULL_DISK:
            return StorageFull("the server's disk is full: have its operator make room")
        case OSError(errno=number) if number in _TOO_MANY_OPEN:
            _log.warning("%s: allow this process more open files (ulimit -n)", error.strerror)
            return Unavailable("too much is open at this moment; come again", retry_after=2)
        case SQLAlchemyError() if (problem := failures.problem_of(error)) is not None:
            _log.warning("the catalog: %s", _first_line(error))
            return problem
        case StorageUnreachable():
            _log.warning("%s", _first_line(error))
            return Unavailable(
                "the server's storage does not answer at this moment; come again", retry_after=2
            )
    current = context.request()
    fault = context.new_request_id() if current is None else current.id
    _log.error("fault %s", fault, exc_info=error)
    return ServerFault(f"the server failed; its log has the rest under request {fault}")


def of_status(status: int, path: str) -> Problem:
    """The problem that a status alone tells of."""
    if status == NotFound.status:
        return NotFound(f"there is no {path}; /docs lists the routes").to_problem(path)
    title = HTTPStatus(status).phrase
    # "about:blank" says that the status is all there is to know (RFC 9457, section 4.2.1).
    return Problem(
        type="about:blank", title=title, status=status, detail=f"{title}: {path}", instance=path
    )


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


async def _answer(request: Request, error: Exception) -> Response:
    path = request.url.path
    match error:
        case RequestValidationError():
            return response_to(_invalid(error.errors()).to_problem(path))
        case HTTPException() if isinstance(error.__cause__, SparseGradError):
            # The framework hides what the reading of a body raised behind an error of its own.
            return response_to(error.__cause__.to_problem(path))
        case HTTPException(status_code=HTTPStatus.METHOD_NOT_ALLOWED):
            allowed = {"Allow": ", ".join(_methods(request))}
            return response_to(of_status(error.status_code, path), allowed)
        case HTTPException():
            return response_to(of_status(error.status_code, path), dict(error.headers or {}))
    return response_to(translate(error).to_problem(path))


def _methods(request: Request) -> list[str]:
    """The methods of a path: all of them, where the framework names those of one route."""
    routes = request.app.router.routes
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes
        )
    ]


def _invalid(errors: Sequence[Mapping[str, object]]) -> InvalidInput:
    said = [_describe(error) for error in errors[:_COMPLAINTS]]
    if len(errors) > _COMPLAINTS:
        said.append(f"and {len(errors) - _COMPLAINTS} more")
    return InvalidInput("; ".join(said))


def _describe(error: Mapping[str, object]) -> str:
    """One complaint of the validation: where, what was expected, what came."""
    where = ".".join(str(part)[:_SHOWN] for part in cast(Iterable[object], error["loc"]))
    expected = str(error["msg"])
    if error["type"] in ("missing", "json_invalid"):
        return f"{where}: {expected}"
    try:
        came = repr(error["input"])
    except RecursionError:
        came = "something too deep to show"
    shown = came if len(came) <= _SHOWN else f"{came[:_SHOWN]}…"
    return f"{where}: {expected}; got {shown}"
