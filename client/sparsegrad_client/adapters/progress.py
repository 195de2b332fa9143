"""How work that takes seconds says how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]  # steps done, of how many


def ignore(_done: int, _total: int) -> None:
    """For callers who do not ask."""
