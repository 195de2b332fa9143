"""What both clients hand to httpx, and read from it; written once, without sending anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any

import httpx

from sparsegrad_shared.errors import Unauthenticated

from .answers import Answer, raise_for_error
from .calls import Call
from .config import TOKEN_VARIABLE, ServiceConfig


def client_arguments(config: ServiceConfig) -> dict[str, Any]:
    """The arguments of an httpx client for that server.

    Redirects are not followed, so that a token goes to no other host; a proxy of the environment
    is not asked about this machine. `SSL_CERT_FILE` says who vouches for servers.
    """
    headers = {"User-Agent": f"sparsegrad-client/{version('sparsegrad-peft')}"}
    if config.token:
        headers["Authorization"] = f"Bearer {config.token}"
    return {
        "base_url": config.url,
        "headers": headers,
        "timeout": httpx.Timeout(config.answer_seconds, connect=config.connect_seconds),
        "trust_env": not config.is_loopback,
        "verify": httpx.create_ssl_context(),
        "follow_redirects": False,
    }


def request_arguments(call: Call[Any]) -> dict[str, Any]:
    """The arguments of httpx's `stream` for a call, but for the body."""
    headers: Mapping[str, str] = {"Accept": "application/json", **call.headers}
    return {
        "method": call.method,
        "url": call.path,
        "params": call.params or None,
        "headers": headers,
    }


def answer_of(response: httpx.Response, content: bytes, digest: str | None = None) -> Answer:
    """A response whose body has been read."""
    return Answer(
        request=f"{response.request.method} {response.request.url}",
        status=response.status_code,
        media_type=response.headers.get("content-type", "").partition(";")[0].strip().lower(),
        retry_after=retry_seconds(response.headers.get("retry-after"), datetime.now(UTC)),
        content=content,
        digest=digest,
    )


def checked(answer: Answer, config: ServiceConfig) -> Answer:
    """The answer, unless it asks for a token that was never given: that gets a fuller message.

    Raises:
        Unauthenticated: says where a token is set.
    """
    if answer.status == httpx.codes.UNAUTHORIZED:
        try:
            raise_for_error(answer)
        except Unauthenticated as error:
            given = "the token was refused" if config.token else "no token was given"
            raise Unauthenticated(
                f"{error.message} ({given} for {config.url}; set {TOKEN_VARIABLE} to one made by "
                "`sparsegrad-server token create`)"
            ) from None
    return answer


def retry_seconds(header: str | None, now: datetime) -> float | None:
    """A Retry-After header in seconds from now (RFC 9110, section 10.2.3): a number, or a date."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        pass
    else:
        return seconds if math.isfinite(seconds) else None
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max((date.astimezone(UTC) - now).total_seconds(), 0.0)
