"""Settings: imported bases."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from .section import GIB, Section


class ImportedBases(Section):
    """How many bases are taken from elsewhere, and how large."""

    title: ClassVar[str] = "Imported bases"

    max_basis_bytes: int = Field(
        default=64 * GIB, ge=1024, description="bytes of one basis that is imported"
    )
    max_imports: int = Field(
        default=16, ge=1, description="imports that may be under way in one namespace"
    )
