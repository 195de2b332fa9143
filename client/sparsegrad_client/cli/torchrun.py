"""Commands that ``torchrun`` may start as several processes.

It says by environment variables which of how many a process is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


@dataclass(frozen=True)
class Launch:
    """How this process was started.

    Attributes:
        rank: which of the processes this is.
        count: how many they are.
        group: all of them; None for a process alone.
    """

    rank: int = 0
    count: int = 1
    group: ProcessGroup | None = None

    @property
    def console(self) -> Console:
        """Standard error; silent but for the first process, as all are about the same."""
        return Console(stderr=True, quiet=self.rank > 0)


@contextmanager
def launched() -> Iterator[Launch]:
    """Join the processes that ``torchrun`` started, if it started this one.

    Each takes the GPU of its number on its machine, where there is one.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Launch()
        return
    import torch
    from torch import distributed

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group()
    try:
        group = distributed.group.WORLD
        yield Launch(distributed.get_rank(), distributed.get_world_size(), group)
    finally:
        distributed.destroy_process_group()
