"""The root of the exceptions, and the form in which they travel (RFC 9457)."""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

PROBLEM_MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:sparsegrad:error:"


class Problem(BaseModel):
    """An error as it travels: RFC 9457's members, and when to come again."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str = Field(examples=[f"{TYPE_PREFIX}unknown-group"])
    title: str
    status: int
    detail: str
    instance: str | None = None
    retry_after: float | None = Field(default=None, allow_inf_nan=False, description="seconds")
    request_id: str | None = Field(default=None, description="what the server's log has it under")


class SparseGradError(Exception):
    """The root of every error that SparseGrad raises on purpose.

    Args:
        message: what was expected, what came, where, and what to do next.
        retry_after: seconds after which the same request may succeed.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "SparseGrad error"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    @classmethod
    def type_uri(cls) -> str:
        """The stable `type` of this class's problems."""
        return TYPE_PREFIX + re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    def to_problem(self, instance: str | None = None) -> Problem:
        """This error as it travels over HTTP."""
        return Problem(
            type=self.type_uri(),
            title=self.title,
            status=self.status,
            detail=_sayable(self.message),
            instance=instance,
            retry_after=self.retry_after,
        )


def _sayable(text: str) -> str:
    # JSON may hold half a surrogate pair, and a message quote it; no answer can (RFC 3629).
    return text.encode(errors="backslashreplace").decode()
