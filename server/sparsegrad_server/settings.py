"""The server's settings: arguments first, then the environment (`SPARSEGRAD_…`), then defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
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
        description="database of the catalog, postgresql://user:password@host/database; a SQLite "
        "file in the data folder when not given",
    )
    storage_url: str | None = Field(
        default=None,
        pattern=r"^s3://[A-Za-z0-9][A-Za-z0-9.\-]+(/[A-Za-z0-9_][A-Za-z0-9._\-]*)*/?$",
        description="where gradients and bases are kept, s3://bucket/prefix; folders in the data "
        "folder when not given",
    )
    storage_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="URL of the S3-compatible service; that of Amazon's region when not given",
    )
    storage_region: str | None = Field(
        default=None, description="region of the bucket; AWS_REGION when not given"
    )
    storage_access_key: str | None = Field(
        default=None,
        description="id of the key for the bucket; AWS's variables or the machine's role when not "
        "given",
    )
    storage_secret_key: SecretStr | None = Field(
        default=None, description="the secret that belongs to storage_access_key"
    )
    storage_cache_bytes: int = Field(
        default=10 * GIB,
        ge=0,
        description="bytes of local copies that are kept of bases in object storage",
    )
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
    audit_days: float = Field(
        default=365.0,
        gt=0,
        description="days that the audit log is kept; `gc` removes what is older",
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

    log_format: Literal["text", "json"] = Field(default="text", description="of a line of the log")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least that is logged"
    )
    otlp_endpoint: str | None = Field(
        default=None,
        repr=False,  # it may hold a key
        description="where traces go, by OTLP over HTTP, such as http://collector:4318/v1/traces; "
        "needs the extra `telemetry`",
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
    upload_memory_bytes: int = Field(
        default=192 << 20,
        ge=0,
        description="bytes of gradients held in memory while they arrive; what is more goes by way "
        "of the staging folder",
    )
    max_request_bytes: int = Field(
        default=8 << 20, ge=1024, description="bytes of any body that is not a gradient"
    )
    body_seconds: float = Field(
        default=600.0, gt=0, description="seconds that one body may take to arrive"
    )
    head_seconds: float = Field(
        default=20.0,
        gt=0,
        description="seconds that a request's head may take to arrive; and the rest of a body, "
        "once its request is answered without it",
    )
    reservation_seconds: float = Field(
        default=30.0,
        gt=0,
        description="seconds after which another upload may take over the slot of one that died",
    )
    min_free_bytes: int = Field(
        default=GIB, ge=0, description="free disk below which nothing more is taken"
    )

    calibration_days: float | None = Field(
        default=None,
        gt=0,
        le=3650,
        description="days that a calibration's gradients are kept when its client does not say; "
        "max_calibration_days when not given. Bases stay",
    )
    max_calibration_days: float | None = Field(
        default=None,
        gt=0,
        le=3650,
        description="days that gradients are kept at most; for ever when not given",
    )
    max_basis_bytes: int = Field(
        default=64 * GIB, ge=1024, description="bytes of one basis that is imported"
    )
    max_imports: int = Field(
        default=16, ge=1, description="imports that may be under way in one namespace"
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
    worker_memory_bytes: int | None = Field(
        default=None,
        ge=1 << 20,
        description="memory that a worker may use; by default what is free as a job begins, within "
        "the container's limit. A group that needs more fails its job and says so",
    )

    executor: Literal["local", "dask"] = Field(
        default="local",
        description="where a worker computes: in its own process, or on a Dask cluster",
    )
    dask_scheduler: str | None = Field(
        default=None,
        pattern=r"^tls://",
        description="address of the Dask scheduler, tls://host:port; always over mutual TLS",
    )
    dask_certificate: Path | None = Field(
        default=None, description="this process's certificate for the Dask cluster, PEM"
    )
    dask_key: Path | None = Field(
        default=None, description="the private key of dask_certificate, PEM"
    )
    dask_authority: Path | None = Field(
        default=None,
        description="certificate of the authority that signs those of the Dask cluster, and of "
        "nothing else: whoever holds one runs code there",
    )

    @field_validator("data")
    @classmethod
    def _absolute(cls, data: Path) -> Path:
        return data.expanduser().absolute()

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

    @model_validator(mode="after")
    def _a_gradient_fits(self) -> Self:
        if self.max_namespace_bytes < self.max_gradient_bytes:
            raise ValueError(
                f"max_namespace_bytes ({self.max_namespace_bytes}) is less than "
                f"max_gradient_bytes ({self.max_gradient_bytes}): no namespace could hold the "
                "largest gradient"
            )
        return self

    @model_validator(mode="after")
    def _default_days_are_allowed(self) -> Self:
        default, longest = self.calibration_days, self.max_calibration_days
        if default is not None and longest is not None and default > longest:
            raise ValueError(
                f"calibration_days ({default:g}) is more than max_calibration_days ({longest:g})"
            )
        return self

    @model_validator(mode="after")
    def _dask_is_whole(self) -> Self:
        if self.executor == "dask" and self.dask_scheduler is None:
            raise ValueError("executor dask: expected dask_scheduler, such as tls://scheduler:8786")
        return self

    @model_validator(mode="after")
    def _storage_is_whole(self) -> Self:
        details = ("endpoint", "region", "access_key", "secret_key")
        given = [name for name in details if getattr(self, f"storage_{name}") is not None]
        if given and self.storage_url is None:
            raise ValueError(
                f"storage_{given[0]}: expected storage_url beside it, such as s3://bucket/prefix"
            )
        if ("access_key" in given) != ("secret_key" in given):
            raise ValueError("expected storage_access_key and storage_secret_key both, or neither")
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
    def imports_folder(self) -> Path:
        """Bases that are being imported, until they are whole."""
        return self.data / "imports"

    @property
    def bases_folder(self) -> Path:
        """Published bases, a folder for each digest."""
        return self.data / "bases"

    @property
    def cache_folder(self) -> Path:
        """Local copies of bases that are in object storage."""
        return self.data / "cache"

    @property
    def embedded_token_file(self) -> Path:
        """The token of an embedded server, for its user alone."""
        return self.data / "embedded.token"
