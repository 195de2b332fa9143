"""What a stream tells: the beginning, each change once, the end; and how many there may be."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Iterable

import pytest
from fastapi.sse import ServerSentEvent

from sparsegrad_server.live.streams import Streams, follow
from sparsegrad_shared.errors import Overloaded

LAST = 9


def told(
    seen: Iterable[int],
    draining: threading.Event | None = None,
    beat: float = math.inf,
    then: Callable[[int], None] = lambda _number: None,
) -> list[ServerSentEvent]:
    """What a reader hears of a thing that is seen so, one look after another."""
    looks = iter(seen)
    events: list[ServerSentEvent] = []

    async def listen() -> None:
        stream = follow(
            next(looks),
            lambda: next(looks),
            lambda number: ServerSentEvent(data=number),
            ended=lambda number: number == LAST,
            draining=draining or threading.Event(),
            every=0.0,
            beat=beat,
        )
        async for event in stream:
            events.append(event)
            then(len(events))

    asyncio.run(listen())
    return events


def test_each_change_is_told_once_in_order_and_the_end_is_the_end() -> None:
    assert [event.data for event in told([1, 1, 2, 2, 2, 3, LAST, 5])] == [1, 2, 3, LAST]


def test_what_has_ended_is_told_once() -> None:
    assert [event.data for event in told([LAST])] == [LAST]


def test_with_a_beat_it_is_told_again_though_nothing_has_changed() -> None:
    assert [event.data for event in told([1, 1, 1, LAST], beat=0.0)] == [1, 1, 1, LAST]


def test_a_server_that_stops_sends_its_readers_away_and_says_when_to_come_again() -> None:
    draining = threading.Event()

    def stop(number: int) -> None:
        if number == 2:
            draining.set()

    events = told([1, 2, 3, LAST], draining, then=stop)
    assert [event.data for event in events] == [1, 2, None]
    assert events[-1].comment == "the server is stopping"
    assert events[-1].retry == 1000


def test_a_holder_has_so_many_streams_and_another_has_others() -> None:
    streams = Streams(2, "live pages are open")
    with streams.one_more("a"), streams.one_more("a"):
        with (
            pytest.raises(Overloaded, match="2 live pages are open already"),
            streams.one_more("a"),
        ):
            pass
        with streams.one_more("b"):
            pass
    with streams.one_more("a"), streams.one_more("a"):
        pass
