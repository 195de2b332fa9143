"""The audit log, as both sides speak of it."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, Field


class AuditEntry(BaseModel):
    """Something that somebody changed, or was refused."""

    id: str
    at: AwareDatetime
    token_id: str | None = Field(description="none for the operator at the command line")
    token_name: str
    namespace: str | None = Field(description="what it concerns; none for the whole server")
    action: str = Field(examples=["PUT /v1/bases/{namespace}/{name}/aliases/{alias}"])
    target: str = Field(description="what it was done to")
    status: int = Field(description="the HTTP status of the answer")
    request_id: str


class AuditPage(BaseModel):
    """A page of the audit log, newest first."""

    entries: tuple[AuditEntry, ...]
    next: str | None = Field(description="`after` of the next page; none when this is the last")
