"""Readers of one thing share a look; readers of two do not wait for one another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from sparsegrad_server.live.looks import Looks


class Counted:
    """Counts how often each thing was looked at; the look at `slow` takes until it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.looked: list[str] = []
        self.let_go = threading.Event()
        self.looking = threading.Event()

    def __call__(self, name: str) -> Callable[[], int]:
        self.begun.append(name)

        def look() -> int:
            self.looked.append(name)
            if name == "slow":
                self.looking.set()
                assert self.let_go.wait(60)
            if name == "broken":
                raise LookupError(name)
            return len(self.looked)

        return look


@pytest.fixture
def counted() -> Counted:
    return Counted()


def test_many_readers_at_once_cost_one_look(counted: Counted) -> None:
    shared = Looks(counted)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(shared.see, "slow")
        assert counted.looking.wait(60)
        others = [pool.submit(shared.see, "slow") for _ in range(7)]
        counted.let_go.set()
        seen = {first.result(60), *(other.result(60) for other in others)}
    assert seen == {1}
    assert counted.looked == counted.begun == ["slow"]


def test_who_watches_something_else_waits_for_nobody(counted: Counted) -> None:
    shared = Looks(counted)
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(shared.see, "slow")
        assert counted.looking.wait(60)
        assert pool.submit(shared.see, "quick").result(60) == 2
        assert not slow.done()
        counted.let_go.set()
        slow.result(60)


def test_a_look_that_is_old_is_taken_again_by_the_same_watcher(counted: Counted) -> None:
    shared = Looks(counted, fresh=0.0)
    assert [shared.see("quick"), shared.see("quick")] == [1, 2]
    assert counted.begun == ["quick"]


def test_who_asks_once_is_not_told_what_was_before_and_others_need_not_look_again(
    counted: Counted,
) -> None:
    shared = Looks(counted, fresh=3600.0)
    assert [shared.see("quick"), shared.see_anew("quick"), shared.see("quick")] == [1, 2, 2]


def test_an_error_is_the_reader_s_and_the_next_one_looks_again(counted: Counted) -> None:
    shared = Looks(counted)
    for _ in range(2):
        with pytest.raises(LookupError, match="broken"):
            shared.see("broken")
    assert counted.looked == ["broken", "broken"]


def test_what_nobody_watches_any_more_is_forgotten(counted: Counted) -> None:
    watched, left = Looks(counted), Looks(counted, forget=0.0)
    for number in range(5):
        watched.see(f"calibration-{number}")
        left.see(f"calibration-{number}")
    assert len(watched) == 5
    assert len(left) == 1
