"""Aliases, as client and server speak of them: names that move from version to version."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from .calibrations import Answer, Model
from .references import MAX_VERSION, QualifiedName, Segment


class AliasTarget(Model):
    """What an alias shall name."""

    version: int = Field(ge=1, le=MAX_VERSION)


class Alias(Answer):
    """What an alias names at present.

    Attributes:
        name: the name that it belongs to.
        alias: the alias.
        version: the version that it names.
        protected: whether only an admin's token moves or deletes it.
    """

    name: QualifiedName
    alias: Segment
    version: int
    protected: bool = False

    def __str__(self) -> str:
        return f"{self.name}:{self.alias}"


class AliasList(Answer):
    """The aliases of a name, in order."""

    aliases: tuple[Alias, ...]


class AliasChange(Answer):
    """One entry of an alias's history."""

    version: int | None = Field(description="what it named from then on; none: it was deleted")
    changed: datetime
    by: str = Field(description="the name of the token that did it")


class AliasStatus(Alias):
    """What an alias names at present, and has named before; newest first."""

    history: tuple[AliasChange, ...]

    def version_before(self) -> int | None:
        """The version to roll back to; None when there was none.

        A step back is undone from the history, not added to it: after 1, 2, 3 and a roll-back to
        2 comes 1. So rolling back twice goes back twice, and never to and fro.
        """
        path: list[int] = []
        for change in reversed(self.history):
            if change.version is None or path[-1:] == [change.version]:
                continue
            if path[-2:-1] == [change.version]:
                path.pop()
            else:
                path.append(change.version)
        return path[-2] if len(path) > 1 else None
