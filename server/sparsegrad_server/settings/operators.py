"""Settings: what operators see."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from .section import Section

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


class Operators(Section):
    """What the server says of itself, and for how long it is kept."""

    title: ClassVar[str] = "What operators see"

    log_format: LogFormat = Field(default="text", description="of a line of the log")
    log_level: LogLevel = Field(default="info", description="the least that is logged")
    otlp_endpoint: str | None = Field(
        default=None,
        repr=False,  # it may hold a key
        description="where traces go, by OTLP over HTTP, such as http://collector:4318/v1/traces; "
        "needs the extra `telemetry`",
    )
    audit_days: float = Field(
        default=365.0,
        gt=0,
        description="days that the audit log is kept; `gc` removes what is older",
    )
