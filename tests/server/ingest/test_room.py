"""A namespace's quota and a disk's end, met by many uploads at once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from support.calibrations import Calibration
from support.gradients import dense_frame, open_calibration, put
from support.mounts import mounted
from support.service import running

from sparsegrad_server.catalog import namespaces
from sparsegrad_shared.errors import QuotaExceeded, StorageFull

MIB = 1 << 20


def put_all(calibration: Calibration, count: int, **shape: int) -> list[httpx.Response]:
    """Send the gradients of slots 0 to `count`, six at a time."""
    with ThreadPoolExecutor(6) as pool:
        return list(
            pool.map(
                lambda index: put(
                    calibration.client, calibration.id, index, dense_frame(index, **shape)
                ),
                range(count),
            )
        )


def test_parallel_uploads_fill_a_quota_to_the_byte_and_no_further(tmp_path: Path) -> None:
    sent, fit = 20, 7
    size = dense_frame(0).size
    limits = {"max_gradient_bytes": size, "max_namespace_bytes": fit * size}
    with running(tmp_path / "data", **limits) as service, service.client() as client:
        calibration_id = open_calibration(client, gradients=1, held_out=sent)
        calibration = Calibration(calibration_id, client, service)
        answers = put_all(calibration, sent)
        codes = Counter(answer.status_code for answer in answers)
        assert codes == {201: fit, QuotaExceeded.status: sent - fit}
        refused = {answer.json()["type"] for answer in answers if answer.status_code != 201}
        assert refused == {QuotaExceeded.type_uri()}
        with service.catalog.reading() as session:
            assert namespaces.bytes_held(session, "team") == fit * size
        calibration.assert_stored(calibration.arrived())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MiB: room for twelve gradients thrice, as they are staged and stored."""
    with mounted(tmp_path / "disk", 40 * MIB) as folder:
        yield folder


@pytest.mark.parametrize("memory", [0, 64 * MIB])
def test_a_full_disk_loses_nothing_and_uploads_go_on_when_there_is_room(
    small_disk: Path, memory: int
) -> None:
    shape = {"d_out": 512, "d_in": 512}  # a megabyte each
    sent = 12
    ballast = small_disk / "ballast"
    with (
        running(small_disk / "data", upload_memory_bytes=memory) as service,
        service.client() as client,
    ):
        calibration_id = open_calibration(client, gradients=sent, held_out=0, **shape)
        calibration = Calibration(calibration_id, client, service)
        group = calibration.group.model_copy(update=shape)
        left = os.statvfs(small_disk)
        ballast.write_bytes(bytes(left.f_bavail * left.f_frsize - 5 * MIB - MIB // 2))

        answers = put_all(calibration, sent, **shape)
        codes = Counter(answer.status_code for answer in answers)
        assert set(codes) == {201, StorageFull.status}, [answer.text for answer in answers]
        stored = [index for index, answer in enumerate(answers) if answer.status_code == 201]
        assert calibration.arrived() == stored
        for index in stored:
            G = service.store.read(calibration_id, group, index, "dense")["G"]
            assert G.tobytes() == bytes(dense_frame(index, **shape).tensors["G"].data)
        assert client.get("/livez").status_code == 200
        assert list(service.settings.staging_folder.iterdir()) == []

        ballast.unlink()
        again = put_all(calibration, sent, **shape)
        assert [answer.status_code for answer in again] == [
            200 if index in stored else 201 for index in range(sent)
        ]
        for index in range(sent):
            G = service.store.read(calibration_id, group, index, "dense")["G"]
            assert G.tobytes() == bytes(dense_frame(index, **shape).tensors["G"].data)
