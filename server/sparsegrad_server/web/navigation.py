"""What stands at the top of every page."""

from __future__ import annotations

from dataclasses import dataclass

from sparsegrad_shared.tokens import SCOPES, Scope

from ..auth.principal import Principal


@dataclass(frozen=True)
class Item:
    """A link at the top.

    Attributes:
        title: its words.
        path: where it leads; what lies under it belongs to it.
        scope: what a token needs to be shown it.
    """

    title: str
    path: str
    scope: Scope = "read"

    def holds(self, path: str) -> bool:
        """Whether a page lies under this link."""
        return path == self.path or path.startswith(f"{self.path}/")


ITEMS = (
    Item("Bases", "/bases"),
    Item("Compare", "/compare"),
    Item("Calibrations", "/calibrations"),
    Item("Jobs", "/jobs"),
    Item("Tokens", "/tokens", "admin"),
    Item("System", "/system", "admin"),
)


def items_for(principal: Principal) -> list[Item]:
    """The links that lead the holder of a token somewhere."""
    return [item for item in ITEMS if SCOPES.index(principal.scope) >= SCOPES.index(item.scope)]
