"""A job's server-sent events, read without I/O."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from httpx_sse import ServerSentEvent
from pydantic import ValidationError

from sparsegrad_shared.errors import ServerFault, SparseGradError
from sparsegrad_shared.jobs import JOB_EVENT, JobStatus

from .config import ServiceConfig
from .conversation import Waits, unreachable


class JobWatch:
    """What a watcher of a job knows: its last state, and how often the stream was cut or refused.

    Every stream begins with the present state, so that a new one loses nothing.
    """

    def __init__(self, config: ServiceConfig, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._waits = Waits(config)
        self._last: JobStatus | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._last is not None and self._last.ended

    def take(self, event: ServerSentEvent) -> JobStatus | None:
        """The state that an event carries, or None when it carries nothing new."""
        if event.event != JOB_EVENT:
            return None
        try:
            status = JobStatus.model_validate_json(event.data)
        except ValidationError:
            raise ServerFault(
                f"an event of a job is not a job's state: {event.data[:200]}"
            ) from None
        self._waits = Waits(self._config)
        if status == self._last:
            return None
        self._last = status
        return status

    def pause_after(self, failure: httpx.TransportError | SparseGradError | None) -> float:
        """Seconds to wait before a stream is opened again.

        Args:
            failure: what cut it, or the refusal that it was opened with (one of `COME_AGAIN`);
                None when the server ended it.

        Raises:
            ServerUnreachable: when it has been cut for too long.
            SparseGradError: the refusal, when it has been refused for too long, or does not say
                when to come again.
        """
        now = self._clock()
        if isinstance(failure, SparseGradError):
            pause = self._waits.after_refusal(failure, now)
            if pause is None:
                raise failure
            return pause
        pause = self._waits.after_loss(now)
        if pause is None:
            cut = failure or httpx.RemoteProtocolError("the stream of events ended too early")
            raise unreachable(cut, self._config.url)
        return pause
