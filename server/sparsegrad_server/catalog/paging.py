"""Pages by key: where a page ended is where the next one begins.

A mark is the sort key of a page's last row, as text that means nothing to a client. Rows that come
or go between two pages move nothing: none is shown twice, and none that stays is left out.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.orm import InstrumentedAttribute

from sparsegrad_shared.errors import InvalidInput
from sparsegrad_shared.references import SEGMENT


def mark_of(created: datetime, *rest: str | int) -> str:
    """The mark of a row with this key."""
    text = json.dumps([created.astimezone(UTC).isoformat(), *rest], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_mark(mark: str, *kinds: type[str] | type[int]) -> tuple[Any, ...]:
    """The key that a mark stands for: a time, then values of these kinds.

    Raises:
        InvalidInput: when it is no mark of such a list.
    """
    try:
        text = base64.urlsafe_b64decode(mark + "=" * (-len(mark) % 4))
        created, *rest = json.loads(text)
        time = datetime.fromisoformat(created).astimezone(UTC)
    except (ValueError, TypeError, RecursionError, OverflowError):
        raise _no_mark(mark) from None
    if [type(value) for value in rest] != list(kinds) or not all(map(_may_be_a_key, rest)):
        raise _no_mark(mark)
    return time, *rest


def after(*order: tuple[InstrumentedAttribute[Any], bool, Any]) -> ColumnElement[bool]:
    """The rows that follow a key.

    Args:
        order: the columns that the list is sorted by, whether each falls, and the key's value.
    """
    conditions = []
    for position, (column, falls, value) in enumerate(order):
        equal = [earlier == known for earlier, _, known in order[:position]]
        conditions.append(and_(*equal, column < value if falls else column > value))
    return or_(*conditions)


def _may_be_a_key(value: str | int) -> bool:
    # A database takes neither every text that JSON can hold nor every number.
    if isinstance(value, str):
        return re.fullmatch(SEGMENT, value) is not None
    return 0 <= value < 1 << 63


def _no_mark(mark: str) -> InvalidInput:
    return InvalidInput(f"after: expected the `next` of an earlier page; got {mark[:100]!r}")
