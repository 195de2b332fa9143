"""Limits: no more than the rate and the burst, no less either, in bounded memory."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_server.auth.limits import Limits, Rate, judge

rates = st.builds(
    Rate, per_second=st.floats(0.01, 1000), burst=st.integers(min_value=1, max_value=50)
)
waits = st.lists(st.floats(0, 20), max_size=60)


class ReferenceBucket:
    """The bucket as people draw it: it holds tokens, and time pours more in."""

    def __init__(self, rate: Rate, now: float) -> None:
        self.rate, self.held, self.at = rate, float(rate.burst), now

    def take(self, now: float) -> bool:
        poured = (now - self.at) * self.rate.per_second
        self.held, self.at = min(self.rate.burst, self.held + poured), now
        if self.held < 1 - 1e-6:
            return False
        self.held -= 1
        return True


@given(rate=rates, waits=waits)
def test_the_one_number_is_the_bucket_that_it_stands_for(rate: Rate, waits: list[float]) -> None:
    now = full_at = 1000.0
    reference = ReferenceBucket(rate, now)
    for wait in waits:
        now += wait
        full_at, allowance = judge(rate, full_at, now)
        near_the_edge = abs(reference.held + wait * rate.per_second - 1) < 1e-4
        if near_the_edge:  # round-off decides, either way
            return
        assert allowance.granted == reference.take(now)
        assert allowance.remaining == pytest.approx(max(0, int(reference.held + 1e-5)), abs=1)


@given(rate=rates, waits=waits, start=st.floats(0, 1e6))
def test_in_no_time_more_come_than_the_burst_and_the_rate_allow(
    rate: Rate, waits: list[float], start: float
) -> None:
    now = full_at = start
    granted: list[float] = []
    for wait in waits:
        now += wait
        full_at, allowance = judge(rate, full_at, now)
        if allowance.granted:
            granted.append(now)
    for first, begin in enumerate(granted):
        for last in range(first, len(granted)):
            seconds = granted[last] - begin
            assert last - first + 1 <= rate.burst + seconds * rate.per_second + 1e-2


@given(rate=rates, start=st.floats(0, 1e6))
def test_whoever_waits_as_long_as_told_is_let_in(rate: Rate, start: float) -> None:
    full_at, now = start, start
    for _ in range(rate.burst):
        full_at, allowance = judge(rate, full_at, now)
        assert allowance.granted
    full_at, refused = judge(rate, full_at, now)
    assert not refused.granted
    assert refused.remaining == 0
    assert judge(rate, full_at, now + refused.retry_after * 0.99)[1].granted is False
    assert judge(rate, full_at, now + refused.retry_after)[1].granted


def test_keys_have_buckets_of_their_own_and_looking_takes_nothing() -> None:
    limits = Limits(Rate(per_second=1, burst=1))
    assert limits.look("a", 0.0).granted
    assert limits.take("a", 0.0).granted
    assert not limits.take("a", 0.0).granted
    assert limits.take("b", 0.0).granted


def test_memory_is_bounded_and_the_least_lately_used_is_forgotten() -> None:
    limits = Limits(Rate(per_second=1, burst=1), keys=3)
    for key in ("a", "b", "c", "a", "d"):
        limits.take(key, 0.0)
    assert limits.take("b", 0.0).granted  # forgotten, so full
    assert not limits.take("d", 0.0).granted


def test_threads_at_once_get_no_more_than_there_is() -> None:
    limits = Limits(Rate(per_second=0.001, burst=50))
    granted: list[bool] = []

    def take() -> None:
        granted.extend(limits.take("key", 0.0).granted for _ in range(50))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == 50
