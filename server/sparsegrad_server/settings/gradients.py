"""Settings: gradients."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from .section import GIB, Section


class Gradients(Section):
    """How many gradients are taken, and how long they are kept."""

    title: ClassVar[str] = "Gradients"

    max_gradient_bytes: int = Field(
        default=GIB, ge=1024, description="bytes of one gradient's body"
    )
    max_gradients: int = Field(default=100_000, ge=1, description="slots of one calibration")
    max_namespace_bytes: int = Field(
        default=1024 * GIB, ge=1024, description="bytes of gradients that one namespace may hold"
    )
    max_concurrent_uploads: int = Field(
        default=16,
        ge=1,
        description="gradients and imported files received at a time; more are answered 429",
    )
    upload_memory_bytes: int = Field(
        default=192 << 20,
        ge=0,
        description="bytes of uploads held in memory while they arrive; what is more goes by way "
        "of the staging folder",
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
