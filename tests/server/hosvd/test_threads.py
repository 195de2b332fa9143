"""Pieces of work on several threads: each once, and BLAS's threads as before at the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from sparsegrad_server.hosvd.threads import side_by_side


def blas_threads() -> set[int]:
    return {
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }


@given(st.lists(st.integers(), unique=True, max_size=30), st.integers(1, 4))
def test_every_piece_is_done_once(pieces: list[int], threads: int) -> None:
    done: list[int] = []
    with threadpool_limits(threads):
        side_by_side(done.extend, pieces)
    assert sorted(done) == sorted(pieces)


def test_as_many_threads_work_as_linear_algebra_may_use() -> None:
    together = threading.Barrier(3, timeout=30)  # passes only when three threads wait at once

    def work(pieces: Iterator[int]) -> None:
        for _ in pieces:
            together.wait()
            assert blas_threads() == {1}

    with threadpool_limits(3):
        side_by_side(work, [0, 1, 2])
        assert blas_threads() == {3}


def test_an_error_of_one_thread_is_raised_and_the_threads_are_as_before() -> None:
    def work(pieces: Iterator[int]) -> None:
        for piece in pieces:
            if piece == 1:
                raise ZeroDivisionError

    with threadpool_limits(2):
        with pytest.raises(ZeroDivisionError):
            side_by_side(work, [0, 1, 2, 3])
        assert blas_threads() == {2}


def test_a_thread_that_blas_does_not_obey_does_all_pieces_itself() -> None:
    done: list[int] = []
    with threadpool_limits(2):
        other = threading.Thread(target=side_by_side, args=(done.extend, [0, 1, 2]))
        other.start()
        other.join()
        assert done == [0, 1, 2]
        assert blas_threads() == {2}
