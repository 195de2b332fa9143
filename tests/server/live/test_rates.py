"""Speeds and times left against what can be worked out by hand from every look."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_server.live.rates import Counter

# Steps: seconds since the look before, and by how much the number has grown.
STEPS = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 50)), min_size=1, max_size=30)


def looks_of(steps: list[tuple[int, int]]) -> list[tuple[float, float]]:
    looks, clock, value = [(0.0, 0.0)], 0.0, 0.0
    for seconds, grown in steps:
        clock, value = clock + seconds, value + grown
        looks.append((clock, value))
    return looks


def counted(looks: list[tuple[float, float]], window: float | None) -> Counter:
    counter = Counter(window)
    for clock, value in looks:
        counter.note(clock, value)
    return counter


@given(steps=STEPS, within=st.integers(1, 60))
def test_the_speed_is_the_growth_over_the_looks_that_count(
    steps: list[tuple[int, int]], within: int
) -> None:
    looks = looks_of(steps)
    last, value = looks[-1]
    inside = [look for look in looks if look[0] >= last - within]
    speed = counted(looks, 60.0).per_second(within)
    if len(inside) < 2:
        assert speed is None
    else:
        began, before = inside[0]
        assert speed == pytest.approx((value - before) / (last - began))


@given(steps=STEPS)
def test_without_a_window_all_looks_count_however_many(steps: list[tuple[int, int]]) -> None:
    looks = looks_of(steps)
    last, value = looks[-1]
    assert counted(looks, None).per_second() == pytest.approx(value / last)


@given(steps=STEPS)
def test_the_line_holds_no_speed_that_there_was_not_and_ends_now(
    steps: list[tuple[int, int]],
) -> None:
    points = counted(looks_of(steps), 120.0).line()
    speeds = [grown / seconds for seconds, grown in steps]
    assert points[-1][0] == 0
    assert [at for at, _ in points] == sorted(at for at, _ in points)
    for _, speed in points:
        assert min(speeds) - 1e-9 <= speed <= max(speeds) + 1e-9


def test_nothing_is_known_before_the_second_look() -> None:
    counter = counted([(5.0, 100.0)], 60.0)
    assert counter.per_second() is None
    assert counter.seconds_left(200.0) is None
    assert counter.line() == []
    assert Counter().line() == []


def test_the_time_left_is_what_is_missing_at_the_speed_so_far() -> None:
    counter = counted([(0.0, 10.0), (4.0, 30.0)], None)
    assert counter.seconds_left(80.0) == pytest.approx(10.0)
    assert counter.seconds_left(20.0) == 0


def test_what_stands_still_has_no_end() -> None:
    assert counted([(0.0, 10.0), (4.0, 10.0)], None).seconds_left(80.0) is None


def test_a_number_that_fell_counts_anew() -> None:
    counter = counted([(0.0, 10.0), (4.0, 90.0), (5.0, 2.0)], 60.0)
    assert counter.per_second() is None
    counter.note(7.0, 8.0)
    assert counter.per_second() == pytest.approx(3.0)


def test_only_the_looks_of_the_window_are_kept() -> None:
    counter = counted([(float(second), float(second)) for second in range(1000)], 60.0)
    points = counter.line()
    assert -61 <= points[0][0] < -50
    assert {round(speed, 9) for _, speed in points} == {1.0}
