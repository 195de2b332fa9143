"""Whoever holds a token, as the routes see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sparsegrad_shared.errors import Forbidden
from sparsegrad_shared.tokens import SCOPES, Scope

EVERY_NAMESPACE = "*"


@dataclass(frozen=True)
class Principal:
    """A token's name, and what it is good for."""

    name: str
    namespace: str
    scope: Scope
    token_id: str
    expires: datetime | None = None

    def require(self, scope: Scope) -> None:
        """Hold the token to a scope.

        Raises:
            Forbidden: when it has a lesser one.
        """
        if SCOPES.index(self.scope) < SCOPES.index(scope):
            raise Forbidden(
                f"this needs a token with scope {scope}; token {self.name!r} has {self.scope}"
            )

    def require_everywhere(self) -> None:
        """Hold the token to every namespace, for what is the whole server's.

        Raises:
            Forbidden: when it is for one.
        """
        if self.namespace != EVERY_NAMESPACE:
            raise Forbidden(
                f"this needs a token for every namespace (*); token {self.name!r} is for "
                f"{self.namespace}"
            )

    def sees(self, namespace: str) -> bool:
        """Whether things of that namespace exist for this token."""
        return self.namespace in (EVERY_NAMESPACE, namespace)

    def check(self, namespace: str) -> None:
        """Hold the token to a namespace that the request itself names.

        What a request names by an id is absent, not forbidden, in other namespaces: ask `sees`.

        Raises:
            Forbidden: when it is for another one.
        """
        if not self.sees(namespace):
            raise Forbidden(
                f"token {self.name!r} is for namespace {self.namespace}, not {namespace}"
            )
