"""Pages that move by themselves: what a server-sent event says, and who may have how many.

A page is filled in from a `Live`, once by its template (`live.html`) and then, with scripts on, by
every event (`live.js`): the words are made here, in one place. An element says which of the names
it shows: `data-text`, `data-bar`, `data-state-of`, `data-shown`, `data-link`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, TypeVar, cast

from fastapi import Depends, Request
from fastapi.sse import ServerSentEvent
from pydantic import BaseModel, ConfigDict

from sparsegrad_shared.errors import SparseGradError

from ..auth import sessions
from ..catalog import Catalog
from ..live.streams import Streams, follow
from .visitors import session_of

EVENT = "state"
END = "end"  # the event after which nothing more comes, and nobody has to come again
LOOK_SECONDS = 1.0  # between two looks for one stream
BEAT_SECONDS = 5.0  # after which an event comes though nothing has changed
MOST_STREAMS = 5  # of one browser: over HTTP/1.1 it opens six connections, and one is for pages

Seen = TypeVar("Seen")


class Live(BaseModel):
    """What a page shows of something that moves.

    Attributes:
        texts: words, by name.
        bars: how far progress bars are, and where they end; None when that is not known.
        states: what an element is at: done, current, waiting, failed.
        shown: whether an element is there at all.
        links: where a link leads.
        line: a curve, as (seconds before now, value).
        lines: what was added to a log.
        said: what screen readers say, when it has changed.
    """

    model_config = ConfigDict(frozen=True)

    texts: dict[str, str]
    bars: dict[str, tuple[int, int] | None] = {}
    states: dict[str, str] = {}
    shown: dict[str, bool] = {}
    links: dict[str, str] = {}
    line: tuple[tuple[float, float], ...] = ()
    lines: tuple[LogLine, ...] = ()
    said: str = ""


class LogLine(BaseModel):
    """A line of a job's log, as it is shown."""

    model_config = ConfigDict(frozen=True)

    number: int
    at: str
    time: str
    level: str
    text: str


def one_more_stream(request: Request) -> Iterator[None]:
    """A dependency: one of the streams that the visitor's browser may have, until it ends.

    Raises:
        Overloaded: when it has as many as it may have.
    """
    holder = hashlib.sha256((session_of(request) or "").encode(errors="replace")).hexdigest()
    with cast(Streams, request.app.state.streams).one_more(holder):
        yield


Stream = Annotated[None, Depends(one_more_stream)]


async def stream(
    request: Request,
    first: Seen,
    look: Callable[[], Seen],
    live: Callable[[Seen], Live],
    ended: Callable[[Seen], bool],
) -> AsyncIterator[ServerSentEvent]:
    """Tell a page what it shows, until that has ended, or the visitor's session has.

    Args:
        request: the visitor's, whose session is looked at with every look.
        first: how the thing is.
        look: looks again, in a thread.
        live: what the page shows of it.
        ended: whether nothing more will happen.
    """
    secret = session_of(request) or ""
    catalog: Catalog = request.app.state.catalog
    draining: threading.Event = request.app.state.draining

    def look_if_signed_in() -> Seen | None:
        try:
            with catalog.reading() as session:
                sessions.find(session, secret, datetime.now(UTC))
        except SparseGradError:
            return None
        return look()

    def tell(seen: Seen | None) -> ServerSentEvent:
        if seen is None:  # the page asks once more, and is told to sign in
            return ServerSentEvent(comment="signed out")
        return ServerSentEvent(event=EVENT, data=live(seen))

    over = False

    def is_over(seen: Seen | None) -> bool:
        nonlocal over
        over = seen is not None and ended(seen)
        return over or seen is None

    begin: Seen | None = first
    events = follow(
        begin,
        look_if_signed_in,
        tell,
        ended=is_over,
        draining=draining,
        every=LOOK_SECONDS,
        beat=BEAT_SECONDS,
    )
    async for event in events:
        yield event
    if over:
        yield ServerSentEvent(event=END, data={})
