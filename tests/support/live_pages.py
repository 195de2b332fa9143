"""What a page that moves is told, as its script hears it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from httpx_sse import connect_sse

Heard = Iterator[tuple[str, dict[str, Any]]]


@contextmanager
def listening(browser: httpx.Client, path: str) -> Iterator[Heard]:
    """The events of a stream: their names, and what they say; the last one ends it."""
    with connect_sse(browser, "GET", path) as source:
        assert source.response.status_code == 200, source.response.read()
        # What only says when to come again has no data; browsers pass over it too.
        events = (event for event in source.iter_sse() if event.data)
        yield ((event.event, json.loads(event.data)) for event in events)


def first(heard: Heard, is_wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first event that is wanted; fails when the stream ends without one."""
    for name, live in heard:
        assert name == "state", name
        if is_wanted(live):
            return live
    raise AssertionError("the stream ended before")
