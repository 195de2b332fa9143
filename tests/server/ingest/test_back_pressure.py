"""More clients than places: all are told to come again, all come, and everything arrives."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from support.calibrations import Calibration
from support.gradients import dense_frame, open_calibration
from support.service import new_token, running
from support.slow_uploads import begin_slowly, rest_of

from sparsegrad_client.calibration.upload import Uploader
from sparsegrad_client.service import BasisService

PLACES, CLIENTS = 4, 40
SECONDS = 120.0


def test_of_forty_clients_before_four_places_nobody_fails(tmp_path: Path) -> None:
    places = {"max_concurrent_uploads": PLACES}
    with running(tmp_path / "data", **places) as service, service.client() as client:
        slots = CLIENTS + PLACES
        calibration_id = open_calibration(client, gradients=slots, held_out=0)
        calibration = Calibration(calibration_id, client, service)
        secret = new_token(service.catalog, "team", "write")
        sent_away = threading.Semaphore(0)

        def send(index: int) -> None:
            with BasisService(service.url, secret) as basis_service:
                basis_service.put_gradient(
                    calibration_id,
                    "up",
                    index,
                    dense_frame(index),
                    on_busy=lambda waiting: sent_away.release() if waiting else None,
                )

        with ThreadPoolExecutor(CLIENTS) as pool, ExitStack() as stack:
            holders = range(CLIENTS, slots)
            senders = [
                stack.enter_context(begin_slowly(calibration, index, dense_frame(index)))
                for index in holders
            ]
            sends = [pool.submit(send, index) for index in range(CLIENTS)]
            for _ in range(CLIENTS):  # all places are held, so each is sent away at least once
                assert sent_away.acquire(timeout=SECONDS)
            for index, sender in zip(holders, senders, strict=True):
                sender.sendall(b"".join(dense_frame(index)))
                assert b" 201 " in rest_of(sender).splitlines()[0]
            for done in sends:
                done.result(SECONDS)
        assert calibration.arrived() == list(range(slots))
        calibration.assert_stored(range(slots))


def test_an_uploader_says_that_it_waits_and_goes_on(tmp_path: Path) -> None:
    places = {"max_concurrent_uploads": 1}
    with running(tmp_path / "data", **places) as service, service.client() as client:
        calibration_id = open_calibration(client, gradients=4, held_out=0)
        calibration = Calibration(calibration_id, client, service)
        secret = new_token(service.catalog, "team", "write")
        reports: list[tuple[int, int]] = []
        with (
            begin_slowly(calibration, 3, dense_frame(3)) as sender,
            BasisService(service.url, secret) as basis_service,
            Uploader(basis_service, calibration_id) as uploader,
        ):

            def report(sent: int, sent_away: int) -> None:
                reports.append((sent, sent_away))
                if sent == 0 and sent_away == 3:
                    sender.sendall(b"".join(dense_frame(3)))

            for index in range(3):
                uploader.put("up", index, dense_frame(index))
            uploader.drain(report)
            assert b" 201 " in rest_of(sender).splitlines()[0]
        assert (0, 3) in reports
        assert reports[-1] == (3, 0)
        assert calibration.arrived() == [0, 1, 2, 3]
