"""The words of a search."""

from __future__ import annotations

from sparsegrad_shared.errors import InvalidInput
from sparsegrad_shared.search import MAX_WORDS


def words_of(q: str | None) -> list[str]:
    """The words that are looked for, in small letters.

    Raises:
        InvalidInput: when there are too many.
    """
    words = (q or "").lower().split()
    if len(words) > MAX_WORDS:
        raise InvalidInput(f"q: expected at most {MAX_WORDS} words, got {len(words)}")
    return words
