"""Speeds and times left, from a number that was looked at several times. Nothing is guessed."""

from __future__ import annotations

from collections import deque

SMOOTHING_SECONDS = 4.0  # what comes in lumps is drawn as its mean over so long


class Counter:
    """A number that grows, as it was when somebody looked.

    Args:
        window: seconds that looks are kept for; for ever when None.
    """

    def __init__(self, window: float | None = None) -> None:
        self._window = window
        self._looks: deque[tuple[float, float]] = deque()

    def note(self, clock: float, value: float) -> None:
        """The number is this now; one that has fallen counts anew.

        Args:
            clock: seconds of a clock that only goes forward.
            value: the number.
        """
        if self._looks and value < self._looks[-1][1]:
            self._looks.clear()
        self._looks.append((clock, value))
        if self._window is None:
            while len(self._looks) > 2:  # the first and the last say it all
                del self._looks[1]
            return
        # The one at the window's edge stays: without it a lump just within would be missed.
        while len(self._looks) > 1 and self._looks[1][0] <= clock - self._window:
            self._looks.popleft()

    def per_second(self, within: float | None = None) -> float | None:
        """How fast it grows; None while there was only one look.

        Args:
            within: seconds before the last look that count; the whole window when None.
        """
        if len(self._looks) < 2:
            return None
        last, value = self._looks[-1]
        began, before = next(
            look for look in self._looks if within is None or look[0] >= last - within
        )
        return None if began >= last else (value - before) / (last - began)

    def seconds_left(self, total: float, within: float | None = None) -> float | None:
        """When it reaches `total` at its speed so far; None while it does not grow."""
        speed = self.per_second(within)
        if not speed:
            return None
        return max(0.0, total - self._looks[-1][1]) / speed

    def line(self) -> list[tuple[float, float]]:
        """How fast it grew: (seconds before the last look, per second), smoothed."""
        if not self._looks:
            return []
        last = self._looks[-1][0]
        looks = list(self._looks)
        points = []
        start = 0
        for end in range(1, len(looks)):
            while looks[end][0] - looks[start][0] > SMOOTHING_SECONDS and start < end - 1:
                start += 1
            seconds = looks[end][0] - looks[start][0]
            if seconds > 0:
                grown = looks[end][1] - looks[start][1]
                points.append((looks[end][0] - last, grown / seconds))
        return points
