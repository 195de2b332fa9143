"""What is promised to uploads under way counts as used."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sparsegrad_server.ingest.admission import COPIES, Admission, check_disk
from sparsegrad_server.store.files import free_bytes
from sparsegrad_shared.errors import Overloaded, StorageFull

MIB = 1 << 20


def admission_of(folder: Path, uploads: int, floor: int, memory: int = 0) -> Admission:
    async def make() -> Admission:  # its limiter belongs to an event loop
        return Admission(folder, uploads, floor, memory)

    return asyncio.run(make())


def test_places_are_given_back_also_after_an_error(tmp_path: Path) -> None:
    admission = admission_of(tmp_path, uploads=1, floor=0)

    def fail() -> None:
        with admission.upload(1):
            raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            fail()
    with admission.upload(1), pytest.raises(Overloaded), admission.upload(1):
        pass


def test_uploads_under_way_count_against_the_disk(tmp_path: Path) -> None:
    share = free_bytes(tmp_path) // (2 * COPIES) + 64 * MIB  # of the disk, a little over half
    admission = admission_of(tmp_path, uploads=9, floor=0)
    with admission.upload(share):
        admission.check_disk()
        with (
            admission.upload(share),
            pytest.raises(StorageFull, match="Nothing that is stored is lost"),
        ):
            admission.check_disk()
        admission.check_disk()


def test_the_floor_is_kept_free(tmp_path: Path) -> None:
    check_disk(tmp_path, 0, floor=0)
    with pytest.raises(StorageFull):
        check_disk(tmp_path, 0, floor=free_bytes(tmp_path) + 64 * MIB)


def test_bodies_are_in_memory_as_long_as_there_is_room_for_the_whole_of_them(
    tmp_path: Path,
) -> None:
    admission = admission_of(tmp_path, uploads=9, floor=0, memory=10)
    with admission.upload(6) as first, admission.upload(5) as second, admission.upload(4) as third:
        assert (first, second, third) == (True, False, True)
    with admission.upload(11) as too_large, admission.upload(10) as the_rest:
        assert (too_large, the_rest) == (False, True)
