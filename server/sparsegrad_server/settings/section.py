"""What every section of the settings has in common."""

from __future__ import annotations

from typing import ClassVar

from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "SPARSEGRAD_"
GIB = 1 << 30


class Section(BaseSettings):
    """Settings that belong together: their fields, and what holds among them.

    Attributes:
        title: what the settings' page calls it.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    title: ClassVar[str]
