"""Plans of groups side by side: never over the memory, each group once, the bits not at stake."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.workbench import group_of

from sparsegrad_server.hosvd import estimate_calibration
from sparsegrad_server.jobs.executors.plan import (
    SMALL_SIDE,
    GroupNeed,
    needs_of,
    plan_groups,
    told,
)
from sparsegrad_shared.calibrations import HosvdOptions
from sparsegrad_shared.errors import JobFailed

needs = st.lists(
    st.builds(
        GroupNeed,
        name=st.text(min_size=1, max_size=3),
        side=st.integers(1, 2 * SMALL_SIDE),
        memory_bytes=st.integers(1, 1000),
        seconds=st.just(1.0),
    ),
    min_size=1,
    max_size=12,
)


@given(needs, st.integers(1000, 5000), st.integers(1, 32))
def test_every_group_is_computed_once_and_never_more_at_once_than_fits(
    needs: list[GroupNeed], memory: int, threads: int
) -> None:
    waves = plan_groups(needs, memory, threads)
    assert sorted(place for wave in waves for place in wave.groups) == list(range(len(needs)))
    for wave in waves:
        assert list(wave.groups) == sorted(wave.groups)
        assert wave.lanes >= 1
        assert wave.lanes * wave.threads <= threads
        largest = sorted((needs[place].memory_bytes for place in wave.groups), reverse=True)
        assert sum(largest[: wave.lanes]) <= memory


@given(needs, st.integers(1000, 5000), st.integers(1000, 5000), st.integers(1, 32))
def test_the_threads_of_a_group_do_not_depend_on_the_memory(
    needs: list[GroupNeed], memory: int, other: int, threads: int
) -> None:
    def threads_of(memory: int) -> dict[int, int]:
        waves = plan_groups(needs, memory, threads)
        return {place: wave.threads for wave in waves for place in wave.groups}

    assert threads_of(memory) == threads_of(other)


@given(needs, st.integers(0, 999), st.integers(1, 32))
def test_a_group_that_fits_nowhere_is_refused_by_name(
    needs: list[GroupNeed], memory: int, threads: int
) -> None:
    over = [need for need in needs if need.memory_bytes > memory]
    if not over:
        plan_groups(needs, memory, threads)
        return
    with pytest.raises(JobFailed) as refused:
        plan_groups(needs, memory, threads)
    assert f"group {over[0].name} needs" in str(refused.value)


def test_small_groups_share_the_threads_and_large_ones_take_them_all() -> None:
    sides = [SMALL_SIDE + 1, 100, SMALL_SIDE, SMALL_SIDE + 1]
    needs = [GroupNeed(str(place), side, 1, 1.0) for place, side in enumerate(sides)]
    waves = plan_groups(needs, memory=10, threads=2)
    assert [(wave.groups, wave.lanes, wave.threads) for wave in waves] == [
        ((0,), 1, 2),
        ((3,), 1, 2),
        ((1, 2), 2, 1),
    ]


def test_few_small_groups_do_not_leave_many_threads_idle() -> None:
    needs = [GroupNeed(str(place), 100, 1, 1.0) for place in range(3)]
    assert {wave.threads for wave in plan_groups(needs, memory=10, threads=16)} == {16}
    needs += [GroupNeed("3", 100, 1, 1.0)]
    (wave,) = plan_groups(needs, memory=10, threads=16)
    assert (wave.lanes, wave.threads) == (4, 1)


def test_the_estimate_is_told_before_anything_begins() -> None:
    needs = [GroupNeed("a", 9, 3 << 29, 20.0), GroupNeed("b", 9, 1 << 29, 22.4)]
    words = told(needs, lanes=4)
    assert words == (
        "planned for about 42 s of one worker, 1.5 GiB for the largest group, 2 of 2 groups at once"
    )


def test_needs_are_the_estimate_s() -> None:
    groups = [group_of("a", d_out=3000, d_in=10), group_of("b", d_out=10, d_in=20)]
    found = needs_of(groups, HosvdOptions())
    assert [(need.name, need.side) for need in found] == [("a", 3000), ("b", 20)]
    estimate = estimate_calibration(groups[:1], HosvdOptions())
    assert (found[0].memory_bytes, found[0].seconds) == (estimate.memory_bytes, estimate.seconds)
