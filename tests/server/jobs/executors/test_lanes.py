"""Groups at once: one progress, and one end for all."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from sparsegrad_server.jobs.executors.lanes import in_lanes
from sparsegrad_server.jobs.gradients import Steps
from sparsegrad_server.jobs.work import Stopped
from sparsegrad_shared.errors import CorruptFile


class Heard:
    """What a job's monitor was told."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []
        self.parts: list[tuple[str, ...]] = []

    def step(self, phase: str, completed: int, total: int, parts: Sequence[str]) -> None:
        self.steps.append((phase, completed, total))
        self.parts.append(tuple(parts))


def test_one_group_s_steps_are_told_as_they_are() -> None:
    heard = Heard()
    in_lanes(["up"], 1, heard, lambda _, steps: steps.step("summing", 3, 5))
    assert heard.steps == [("summing", 3, 5)]


def test_the_steps_of_groups_at_once_are_added_up() -> None:
    heard, meet = Heard(), threading.Barrier(2)

    def work(place: int, steps: Steps) -> None:
        if place == 0:
            steps.step("summing up", 3, 5)
        meet.wait()
        if place == 1:
            steps.step("judging down", 1, 2)
        meet.wait()

    in_lanes(["up", "down"], 2, heard, work)
    assert heard.steps == [
        ("summing up", 3, 5),
        ("computing 2 groups at once: summing up; judging down", 4, 7),
    ]
    assert heard.parts == [("summing up",), ("summing up", "judging down")]


def test_no_more_run_at_once_than_there_are_lanes() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def work(_: int, steps: Steps) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        steps.step("", 0, 1)
        with lock:
            running -= 1

    in_lanes([str(place) for place in range(9)], 2, Heard(), work)
    assert 1 <= most <= 2


def test_when_one_fails_the_others_end_at_their_next_step_and_its_error_is_the_one_told() -> None:
    failed, ended = threading.Event(), []

    def work(place: int, steps: Steps) -> None:
        if place == 1:
            failed.set()
            raise CorruptFile("up/3 is damaged")
        failed.wait()
        try:
            while True:
                steps.step("summing", 0, 1)
        except Stopped:
            ended.append(place)
            raise

    with pytest.raises(CorruptFile, match="up/3"):
        in_lanes(["a", "b", "c"], 3, Heard(), work)
    assert sorted(ended) == [0, 2]
