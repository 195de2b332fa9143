"""The server's settings: arguments first, then the environment (`SPARSEGRAD_…`), then defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

GIB = 1 << 30


def _usable_cpus() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it; macOS does not
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class Settings(BaseSettings):
    """Where the server keeps its data, what it takes, and how its worker works.

    A setting `min_free_bytes` is `SPARSEGRAD_MIN_FREE_BYTES` in the environment.
    """

    model_config = SettingsConfigDict(env_prefix="SPARSEGRAD_", frozen=True, extra="forbid")

    data: Path = Field(description="folder that holds everything; on one file system")
    catalog_url: str | None = Field(
        default=None,
        repr=False,  # it may hold a password
        description="database of the catalog; a SQLite file in the data folder when not given",
    )
    host: str = Field(default="127.0.0.1", description="address that the server listens on")
    port: int = Field(default=8765, ge=0, le=65535, description="port; 0 takes a free one")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("*",),
        min_length=1,
        description="values of the Host header that are answered, comma-separated, without "
        "ports; * is any",
    )

    max_gradient_bytes: int = Field(
        default=GIB, ge=1024, description="bytes of one gradient's body"
    )
    max_gradients: int = Field(default=100_000, ge=1, description="slots of one calibration")
    max_namespace_bytes: int = Field(
        default=1024 * GIB, ge=1024, description="bytes of gradients that one namespace may hold"
    )
    max_concurrent_uploads: int = Field(
        default=16, ge=1, description="gradients received at a time; more are answered 429"
    )
    max_request_bytes: int = Field(
        default=8 << 20, ge=1024, description="bytes of any body that is not a gradient"
    )
    body_seconds: float = Field(
        default=600.0, gt=0, description="seconds that one body may take to arrive"
    )
    reservation_seconds: float = Field(
        default=30.0,
        gt=0,
        description="seconds after which another upload may take over the slot of one that died",
    )
    min_free_bytes: int = Field(
        default=GIB, ge=0, description="free disk below which nothing more is taken"
    )

    lease_seconds: float = Field(
        default=30.0, gt=0, description="seconds without a heartbeat after which a job is free"
    )
    poll_seconds: float = Field(
        default=0.5, gt=0, description="seconds between a worker's looks for a job"
    )
    partial_seconds: float = Field(
        default=30.0,
        ge=0,
        description="seconds of summing after which partial Gram matrices are kept on disk",
    )
    worker_threads: int = Field(
        default_factory=_usable_cpus,
        ge=1,
        description="threads of a worker's linear algebra; as many as it may use CPUs by default",
    )

    @field_validator("data")
    @classmethod
    def _absolute(cls, data: Path) -> Path:
        return data.expanduser().absolute()

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, hosts: object) -> object:
        if isinstance(hosts, str):
            return tuple(host.strip() for host in hosts.split(",") if host.strip())
        return hosts

    @model_validator(mode="after")
    def _a_gradient_fits(self) -> Self:
        if self.max_namespace_bytes < self.max_gradient_bytes:
            raise ValueError(
                f"max_namespace_bytes ({self.max_namespace_bytes}) is less than "
                f"max_gradient_bytes ({self.max_gradient_bytes}): no namespace could hold the "
                "largest gradient"
            )
        return self

    @property
    def catalog_address(self) -> str:
        """The catalog's URL, given or by default."""
        return self.catalog_url or f"sqlite:///{self.data / 'catalog.sqlite'}"

    @property
    def gradients_folder(self) -> Path:
        """A Zarr group for each calibration."""
        return self.data / "gradients"

    @property
    def staging_folder(self) -> Path:
        """What is not whole yet."""
        return self.data / "staging"

    @property
    def partial_folder(self) -> Path:
        """Partial Gram matrices, a folder for each calibration."""
        return self.data / "partial"

    @property
    def bases_folder(self) -> Path:
        """Published bases, a folder for each digest."""
        return self.data / "bases"

    @property
    def embedded_token_file(self) -> Path:
        """The token of an embedded server, for its user alone."""
        return self.data / "embedded.token"
