"""Settings: where things are kept."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from .section import GIB, Section


class Places(Section):
    """Where the server keeps what it holds."""

    title: ClassVar[str] = "Where things are kept"

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

    @field_validator("data")
    @classmethod
    def _absolute(cls, data: Path) -> Path:
        return data.expanduser().absolute()

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
    def workers_folder(self) -> Path:
        """A file for each machine, which its worker touches as a sign of life."""
        return self.data / "workers"

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
