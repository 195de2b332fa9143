"""Errors for people: a page in words, with what to do next."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse

from sparsegrad_shared.errors import Problem

from .rendering import HEADERS, render

# What a program asked for stays a problem, whatever it accepts.
_FOR_PROGRAMS = ("/v1/", "/livez", "/readyz", "/metrics", "/openapi.json", "/static/")
_NEXT = {
    401: "Sign in, and open the page again.",
    403: "Sign in with a token that may do this, or ask an administrator of the namespace for one.",
    404: "Look at the address again, or begin at the list of bases.",
    410: "Look for a version that is still there in the list of bases.",
    422: "Go back, correct what the message names, and send it again.",
    429: "Wait a moment, then load the page again.",
    503: "Wait a moment, then load the page again.",
    507: "Ask the operator of this server to make room on its disk.",
}
_NEXT_OF_OURS = "Load the page again; if it happens again, give its request to the operator."
_NEXT_OF_THEIRS = "Go back, and try it another way."


def wants_page(scope: Mapping[str, Any]) -> bool:
    """Whether a browser shows the answer to a person."""
    if scope["path"].startswith(_FOR_PROGRAMS):
        return False
    headers = Headers(raw=scope["headers"])
    return "text/html" in headers.get("accept", "") and "hx-request" not in headers


def error_page(problem: Problem, path: str, headers: Mapping[str, str]) -> HTMLResponse:
    """A problem as a page.

    Args:
        problem: what is wrong.
        path: where.
        headers: that the answer has to bear.
    """
    fallback = _NEXT_OF_OURS if problem.status >= 500 else _NEXT_OF_THEIRS
    seconds = None if problem.retry_after is None else math.ceil(problem.retry_after)
    text = render(
        "error.html",
        path,
        problem=problem,
        advice=_NEXT.get(problem.status, fallback),
        seconds=seconds,
    )
    return HTMLResponse(text, problem.status, {**HEADERS, **headers})
