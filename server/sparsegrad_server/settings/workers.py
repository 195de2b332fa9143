"""Settings: workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from .section import Section


def _usable_cpus() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it; macOS does not
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class Workers(Section):
    """How a worker works, and where it computes."""

    title: ClassVar[str] = "Workers"

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

    @model_validator(mode="after")
    def _dask_is_whole(self) -> Self:
        if self.executor == "dask" and self.dask_scheduler is None:
            raise ValueError("executor dask: expected dask_scheduler, such as tls://scheduler:8786")
        return self
