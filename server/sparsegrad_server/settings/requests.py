"""Settings: limits of requests."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from .section import Section


class Requests(Section):
    """How often and how much a token may ask."""

    title: ClassVar[str] = "Limits of requests"

    requests_per_second: float = Field(
        default=500.0, gt=0, description="requests that one token may send, over any longer time"
    )
    request_burst: int = Field(
        default=1000, ge=1, description="requests that one token may send at once after a rest"
    )
    failures_per_minute: float = Field(
        default=60.0,
        gt=0,
        description="tokens that are not good, from one address, after which it has to wait",
    )
    max_request_bytes: int = Field(
        default=8 << 20,
        ge=1024,
        description="bytes of any body that is neither a gradient nor an imported file",
    )
    body_seconds: float = Field(
        default=600.0, gt=0, description="seconds that one body may take to arrive"
    )
