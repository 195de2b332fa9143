"""Processes that are the ranks of one gloo group, for tests of several processes."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

START_SECONDS = 120.0  # imports, on a busy machine
CALL_SECONDS = 60.0
COLLECTIVE_SECONDS = 30.0

_context = multiprocessing.get_context("spawn")


class RankFailed(Exception):
    """A rank raised; carries its traceback."""


class Ranks:
    """Processes that stay, each a rank, and run functions at once.

    A function has to be importable by name, and finds its rank by `torch.distributed`. What it
    returns is pickled, so arrays and not tensors.

    Args:
        folder: where the ranks find one another.
        count: how many.

    Attributes:
        answers: what the ranks answered last; None of one that failed.
    """

    def __init__(self, folder: Path, count: int = 2) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        pipes = [_context.Pipe() for _ in range(count)]
        self._pipes = [ours for ours, _ in pipes]
        self._processes = [
            _context.Process(
                target=_serve, args=(theirs, rank, count, str(folder / "store")), daemon=True
            )
            for rank, (_, theirs) in enumerate(pipes)
        ]
        for process in self._processes:
            process.start()
        for _, theirs in pipes:
            theirs.close()
        self._answers(START_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End them, whatever they do."""
        for process in self._processes:
            process.kill()
            process.join()

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Run a function on all ranks; its results by rank.

        Raises:
            RankFailed: when a rank raised, died, or took longer than `CALL_SECONDS`.
        """
        for pipe in self._pipes:
            pipe.send((function, arguments))
        return self._answers(CALL_SECONDS)

    def _answers(self, seconds: float) -> list[Any]:
        self.answers: list[Any] = []
        failures = []
        for rank, pipe in enumerate(self._pipes):
            try:
                if not pipe.poll(seconds):
                    raise TimeoutError(f"no answer in {seconds} s")
                answer, failure = pipe.recv()
            except (EOFError, OSError) as error:
                answer, failure = None, repr(error)
            self.answers.append(answer)
            if failure:
                failures.append(f"rank {rank}: {failure}")
        if failures:
            raise RankFailed("\n".join(failures))
        return self.answers


def _serve(pipe: Connection, rank: int, count: int, store: str) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        store=distributed.FileStore(store, count),
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=COLLECTIVE_SECONDS),
    )
    pipe.send((None, None))
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((function(*arguments), None))
        except BaseException:  # noqa: BLE001 - raised again by the test
            pipe.send((None, traceback.format_exc()))
