"""Limits of rate: how often somebody may do something, in bounded memory.

The rule is the generic cell rate algorithm: a bucket of `burst` that refills at `rate` a second,
kept as one number, the time at which it will be full again. Time is given, never looked up.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass

MAX_KEYS = 10_000  # buckets kept; one that is forgotten is as good as full


@dataclass(frozen=True)
class Rate:
    """How many a second for as long as one likes, and how many at once after a rest."""

    per_second: float
    burst: int

    @property
    def window(self) -> int:
        """Whole seconds in which an empty bucket becomes full."""
        return math.ceil(self.burst / self.per_second)


@dataclass(frozen=True)
class Allowance:
    """The answer of a limit.

    Attributes:
        rate: the limit.
        remaining: how many more may come at once.
        retry_after: seconds until the next one may come; 0 when this one may.
        reset: seconds until the bucket is full again.
    """

    rate: Rate
    remaining: int
    retry_after: float
    reset: float

    @property
    def granted(self) -> bool:
        """Whether this one may come."""
        return self.retry_after == 0


def judge(rate: Rate, full_at: float, now: float) -> tuple[float, Allowance]:
    """Take one from a bucket, if there is one.

    Args:
        rate: the limit.
        full_at: when the bucket will be full, in seconds of the same clock as `now`.
        now: the time.

    Returns:
        When the bucket will be full after this, and the answer.
    """
    interval = 1 / rate.per_second
    full_at = max(full_at, now)
    over = full_at + interval - now - rate.burst * interval
    if over > 1e-12 * max(1.0, abs(now)):  # round-off of the clock's own size
        return full_at, Allowance(rate, 0, over, full_at - now)
    full_at += interval
    return full_at, Allowance(rate, _remaining(rate, full_at, now), 0.0, full_at - now)


def _remaining(rate: Rate, full_at: float, now: float) -> int:
    return max(0, math.floor(rate.burst - (full_at - now) * rate.per_second + 1e-6))


class Limits:
    """A bucket for each key; thread-safe.

    Args:
        rate: of each bucket.
        keys: buckets kept; the one that was used least lately is forgotten first.
    """

    def __init__(self, rate: Rate, keys: int = MAX_KEYS) -> None:
        self.rate = rate
        self._keys = keys
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str, now: float) -> Allowance:
        """Take one from the bucket of `key`, if there is one."""
        with self._lock:
            full_at, allowance = judge(self.rate, self._full_at.get(key, now), now)
            self._full_at[key] = full_at
            self._full_at.move_to_end(key)
            if len(self._full_at) > self._keys:
                self._full_at.popitem(last=False)
        return allowance

    def look(self, key: str, now: float) -> Allowance:
        """What `take` would answer, without taking."""
        with self._lock:
            return judge(self.rate, self._full_at.get(key, now), now)[1]
