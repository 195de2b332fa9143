"""Uploads side by side, slow ones, and those that a kill cuts off."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from sqlalchemy import select
from support.calibrations import Calibration, begin
from support.gradients import dense, dense_frame, open_calibration, put
from support.service import Service, running
from support.slow_uploads import begin_slowly, rest_of

from sparsegrad_server.catalog.tables import JobRow
from sparsegrad_shared.errors import BodyTimeout, Overloaded, SlotBusy, SlotTaken, StorageFull
from sparsegrad_shared.framing import Frame


def put_all(calibration: Calibration, sent: Iterable[tuple[int, Frame]]) -> list[httpx.Response]:
    """Send gradients at the same time, each over a connection of its own."""

    def send(one: tuple[int, Frame]) -> httpx.Response:
        index, body = one
        headers = {"Authorization": calibration.client.headers["Authorization"]}
        with httpx.Client(base_url=calibration.service.url, headers=headers, timeout=60) as client:
            return put(client, calibration.id, index, body)

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(send, sent))


def test_uploads_to_distinct_slots_all_arrive(calibration: Calibration) -> None:
    answers = put_all(calibration, [(index, dense_frame(index)) for index in range(1, 9)])
    assert [answer.status_code for answer in answers] == [201] * 8
    calibration.assert_intact(*range(9))


def test_of_the_same_bytes_to_one_slot_one_is_stored(calibration: Calibration) -> None:
    answers = put_all(calibration, [(1, dense_frame(1))] * 4)
    codes = Counter(answer.status_code for answer in answers)
    assert codes[201] == 1
    assert codes[200] + codes[409] == 3
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["type"] == SlotBusy.type_uri()
            assert int(answer.headers["retry-after"]) >= 1
    calibration.assert_intact(0, 1)


def test_of_different_bytes_to_one_slot_one_is_stored(calibration: Calibration) -> None:
    answers = put_all(calibration, [(1, dense_frame(seed)) for seed in (1, 2, 3, 4)])
    stored = [answer.json()["digest"] for answer in answers if answer.status_code == 201]
    refused = {answer.json()["type"] for answer in answers if answer.status_code == 409}
    assert len(stored) == 1
    assert refused <= {SlotBusy.type_uri(), SlotTaken.type_uri()}
    found = calibration.service.store.read(calibration.id, calibration.group, 1, "dense")["G"]
    winner = next(seed for seed in (1, 2, 3, 4) if dense_frame(seed).digest() == stored[0])
    np.testing.assert_array_equal(found, dense(winner))


def test_more_uploads_than_allowed_are_told_to_come_again(tmp_path: Path) -> None:
    with (
        running(tmp_path / "data", max_concurrent_uploads=1) as service,
        service.client() as client,
    ):
        calibration = begin(service, client)
        with begin_slowly(calibration, 1, dense_frame(1)) as sender:
            refused = put(client, calibration.id, 2, dense_frame(2))
            assert (refused.status_code, refused.json()["type"]) == (429, Overloaded.type_uri())
            assert int(refused.headers["retry-after"]) >= 1
            sender.sendall(b"".join(dense_frame(1)))
            assert b" 201 " in rest_of(sender).splitlines()[0]
        assert put(client, calibration.id, 2, dense_frame(2)).status_code == 201
        calibration.assert_intact(0, 1, 2)


def test_a_body_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "data", body_seconds=2) as service, service.client() as client:
        calibration = begin(service, client)
        with begin_slowly(calibration, 1, dense_frame(1)) as sender:
            sender.sendall(b"".join(dense_frame(1))[:100])
            answer = rest_of(sender)
        assert b" 408 " in answer.splitlines()[0]
        assert BodyTimeout.type_uri().encode() in answer
        calibration.assert_intact()


def test_an_upload_that_finds_the_disk_at_its_floor_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "data") as service, service.client() as client:
        calibration_id = begin(service, client).id
    with (
        running(tmp_path / "data", min_free_bytes=1 << 60) as service,
        service.client() as client,
    ):
        calibration = Calibration(calibration_id, client, service)
        refused = put(client, calibration_id, 1, dense_frame(1))
        assert (refused.status_code, refused.json()["type"]) == (507, StorageFull.type_uri())
        calibration.assert_intact()


def test_a_finish_during_an_upload_decides_for_what_was_stored_before(
    calibration: Calibration,
) -> None:
    with begin_slowly(calibration, 1, dense_frame(1)) as sender:
        finished = calibration.client.post(f"/v1/calibrations/{calibration.id}/finish")
        assert finished.status_code == 202
        sender.sendall(b"".join(dense_frame(1)))
        assert b" 409 " in rest_of(sender).splitlines()[0]
    calibration.assert_intact()


def test_what_a_killed_upload_left_is_swept_at_the_next_start(tmp_path: Path) -> None:
    on_disk = {"upload_memory_bytes": 0}
    with running(tmp_path / "data", **on_disk) as service, service.client() as client:
        calibration_id = begin(service, client).id
        calibration = Calibration(calibration_id, client, service)
        with begin_slowly(calibration, 1, dense_frame(1)) as sender:
            sender.sendall(b"".join(dense_frame(1))[:100])
            service.kill()
    (left,) = service.settings.staging_folder.iterdir()
    os.utime(left, (0, 0))
    with running(tmp_path / "data") as service, service.client() as client:
        Calibration(calibration_id, client, service).assert_intact()


def test_each_stored_gradient_asks_for_its_sum(calibration: Calibration) -> None:
    with calibration.service.catalog.reading() as session:
        jobs = session.scalars(select(JobRow).where(JobRow.calibration_id == calibration.id)).all()
    assert [job.kind for job in jobs] == ["accumulate"]


@pytest.mark.parametrize("enough", [1, 12])
def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path, enough: int) -> None:
    options = {"reservation_seconds": 0.001}  # so that the rest can be sent at once
    with running(tmp_path / "data", **options) as service, service.client() as client:
        calibration_id = open_calibration(client, gradients=SLOTS, held_out=0)
        acknowledged = send_until_killed(service, client, calibration_id, enough)
    assert len(acknowledged) >= enough
    with running(tmp_path / "data", **options) as service, service.client() as client:
        calibration = Calibration(calibration_id, client, service)
        before = calibration.arrived()
        assert acknowledged <= set(before)
        calibration.assert_stored(before)
        rest = [put(client, calibration_id, index, dense_frame(index)) for index in range(SLOTS)]
        assert {answer.status_code for answer in rest} <= {200, 201}
        assert sum(answer.status_code == 200 for answer in rest) == len(before)
        calibration.assert_stored(range(SLOTS))


SLOTS = 40


def send_until_killed(
    service: Service, client: httpx.Client, calibration: str, enough: int
) -> set[int]:
    """Send to every slot, four at a time; kill the server after `enough` acknowledgements."""
    acknowledged: set[int] = set()
    lock = threading.Lock()

    def send(index: int) -> None:
        try:
            answer = put(client, calibration, index, dense_frame(index))
        except httpx.TransportError:  # the server is gone
            return
        assert answer.status_code == 201
        with lock:
            acknowledged.add(index)
            if len(acknowledged) == enough:
                service.kill()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(SLOTS)))
    return acknowledged
