"""Tokens, as both sides speak of them. The secret travels once, in the answer that makes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field, SecretStr, field_serializer

from .calibrations import Model, Text, Time
from .references import SEGMENT

Scope = Literal["metrics", "read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("metrics", "read", "write", "admin")  # each holds the ones before it
MAX_NAME = 100
MOST_DAYS = 3650  # until a token expires, where it does


class TokenRequest(Model):
    """A token to be made."""

    name: Annotated[Text, Field(max_length=MAX_NAME)] = Field(
        description="how lists and histories call its holder", examples=["alice"]
    )
    namespace: Annotated[str, Field(pattern=rf"^(\*|{SEGMENT})$")] = Field(
        description="the namespace that it is for; * is every one", examples=["team"]
    )
    scope: Scope = Field(default="read", description="each holds the ones before it")
    expires: Time | None = Field(
        default=None, description="when it ends; with the token that makes it, when not given"
    )


class TokenStatus(BaseModel):
    """A token as lists show it: everything but its secret."""

    id: str
    name: str
    namespace: str
    scope: Scope
    created: AwareDatetime
    expires: AwareDatetime | None
    revoked: AwareDatetime | None
    last_used: AwareDatetime | None = Field(description="to the minute or so")


class TokenCreated(TokenStatus):
    """A new token, with its secret: shown this once."""

    secret: SecretStr = Field(examples=["sg_…"])

    @field_serializer("secret", when_used="json")
    def _shown_once(self, secret: SecretStr) -> str:
        return secret.get_secret_value()


class TokenList(BaseModel):
    """Tokens, oldest first."""

    tokens: tuple[TokenStatus, ...]
