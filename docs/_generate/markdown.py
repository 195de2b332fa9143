"""Pieces of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\*_<>|\[\]])")
_CODE = re.compile(r"(`[^`]+`)")


def escaped(text: str) -> str:
    """A text as it is read, on one line; what stands in backticks stays code."""
    parts = _CODE.split(" ".join(text.split()))
    return "".join(
        part.replace("|", r"\|") if part.startswith("`") else _SPECIAL.sub(r"\\\1", part)
        for part in parts
    )


def code(text: str) -> str:
    """A text as code, in a cell of a table too."""
    return "`" + text.replace("|", r"\|") + "`"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, or nothing where there are no rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return ""
    head = [f"| {' | '.join(columns)} |", f"| {' | '.join('---' for _ in columns)} |"]
    return "\n".join([*head, *lines]) + "\n"


def paragraphs(*parts: str) -> str:
    """Parts that are not empty, with an empty line between."""
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"
