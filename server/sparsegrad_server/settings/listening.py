"""Settings: listening."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from .section import Section


class Listening(Section):
    """Where and to whom the server listens, and how it stops."""

    title: ClassVar[str] = "Listening"

    host: str = Field(default="127.0.0.1", description="address that the server listens on")
    port: int = Field(default=8765, ge=0, le=65535, description="port; 0 takes a free one")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("*",),
        min_length=1,
        description="values of the Host header that are answered, comma-separated, without "
        "ports; * is any",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="addresses or networks of proxies whose X-Forwarded-For and -Proto are "
        "believed, comma-separated; nobody's by default",
    )
    tls_certificate: Path | None = Field(
        default=None, description="file of the certificate and its chain (PEM); then https:// only"
    )
    tls_key: Path | None = Field(default=None, description="file of the certificate's key (PEM)")
    allow_plain_http: bool = Field(
        default=False,
        description="whether to listen beyond this machine without TLS and without a warning, as "
        "behind a proxy that has it",
    )
    head_seconds: float = Field(
        default=20.0,
        gt=0,
        description="seconds that a request's head may take to arrive; and the rest of a body, "
        "once its request is answered without it",
    )
    drain_seconds: float = Field(
        default=0.0,
        ge=0,
        description="seconds, once asked to stop, for which readiness says no before connections "
        "are refused; give a load balancer time to look",
    )
    grace_seconds: float = Field(
        default=20.0,
        ge=0,
        description="seconds for uploads and other requests under way to end after that",
    )

    @field_validator("allowed_hosts", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, names: object) -> object:
        if isinstance(names, str):
            return tuple(name.strip() for name in names.split(",") if name.strip())
        return names

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key come together or not at all")
        return self
