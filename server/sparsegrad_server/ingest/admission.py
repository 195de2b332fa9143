"""Who may upload at this moment: a bound on uploads, and on the disk that they will need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anyio import CapacityLimiter

from sparsegrad_shared.errors import Overloaded, StorageFull

from ..store.files import free_bytes

RETRY_SECONDS = 1.0
# A body may lie in the staging folder, and once more in the store, until the first is removed.
COPIES = 2
# Bodies hashed, checked, encoded and flushed at a time: more than cores, since a flush only waits.
ENCODERS = 4


def check_disk(folder: Path, bytes_needed: int, floor: int) -> None:
    """Hold the disk to its floor.

    Raises:
        StorageFull: when less than `floor` would be left after `bytes_needed` more.
    """
    free = free_bytes(folder)
    if free - bytes_needed < floor:
        raise StorageFull(
            f"the server has {free} bytes of disk free, keeps {floor} in reserve, and this needs "
            f"{bytes_needed}: have its operator make room. Nothing that is stored is lost"
        )


class Admission:
    """Counts the uploads that are under way. For one event loop; any thread may check the disk.

    Args:
        folder: on the file system that uploads go to.
        uploads: the most at a time.
        floor: bytes of disk to leave free.
        memory: bytes of bodies that may be in memory at a time.

    Attributes:
        encoders: bounds how many bodies are checked and encoded at a time.
    """

    def __init__(self, folder: Path, uploads: int, floor: int, memory: int) -> None:
        self._folder = folder
        self._places = self._free_places = uploads
        self._floor = floor
        self._promised = 0
        self._free_memory = memory
        self.encoders = CapacityLimiter(ENCODERS)

    def under_way(self) -> int:
        """How many uploads there are at this moment."""
        return self._places - self._free_places

    def check_disk(self) -> None:
        """Hold the disk to its floor, once all that has a place is on it. Asks the file system.

        Raises:
            StorageFull: when the disk would fall below its floor.
        """
        check_disk(self._folder, COPIES * self._promised, self._floor)

    @contextmanager
    def upload(self, size: int) -> Iterator[bool]:
        """A place for an upload of `size` bytes; answers whether it may be in memory.

        Raises:
            Overloaded: when all places are taken.
        """
        if self._free_places == 0:
            raise Overloaded(
                "as many uploads as this server takes at a time are under way; come again",
                retry_after=RETRY_SECONDS,
            )
        in_memory = size <= self._free_memory
        self._free_places -= 1
        self._promised += size
        self._free_memory -= size * in_memory
        try:
            yield in_memory
        finally:
            self._free_places += 1
            self._promised -= size
            self._free_memory += size * in_memory
