"""Uploads that take one another's slot over all the time: the row and the bytes belong together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.calibrations import Calibration
from support.gradients import dense, dense_frame, frame, open_calibration, put
from support.object_storage import Bucket
from support.service import Service, running
from support.side_by_side import at_once

from sparsegrad_server.catalog import gradients
from sparsegrad_shared.framing import Frame

SLOTS = 4
UPLOADS = 5


@pytest.fixture(params=["sqlite+disk", "postgresql+disk", "postgresql+s3"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """A server on which every reservation has run out as soon as it was made."""
    options: dict[str, Any] = {"reservation_seconds": 0.001}
    if request.param.startswith("postgresql"):
        options["catalog_url"] = request.getfixturevalue("postgres_url")
    if request.param.endswith("s3"):
        bucket: Bucket = request.getfixturevalue("bucket")
        options |= bucket.settings
    with running(tmp_path / "data", **options) as service:
        yield service


def factored_frame(seed: int) -> Frame:
    """Another number of tokens for each seed, so that the arrays' shapes differ."""
    factors = dense(seed, seed + 1, 24), dense(seed, seed + 1, 16)
    return frame(dict(zip(("g", "x"), factors, strict=True)))


@pytest.mark.parametrize("frame_of", [dense_frame, factored_frame])
def test_what_is_stored_is_what_was_acknowledged(service: Service, frame_of: Any) -> None:
    with service.client() as client:
        calibration = Calibration(open_calibration(client), client, service)
        for index in range(SLOTS):
            acknowledged = race(calibration, index, frame_of)
            assert len(acknowledged) <= 1
            assert_stored(calibration, index, frame_of, acknowledged)


def race(calibration: Calibration, index: int, frame_of: Any) -> list[int]:
    """Send other bytes at once to one slot; the seeds of those that were acknowledged."""
    headers = {"Authorization": calibration.client.headers["Authorization"]}

    def send(seed: int) -> int:
        url = calibration.service.url
        with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
            answer = put(client, calibration.id, index, frame_of(seed))
        assert answer.status_code in (201, 409), answer.text
        return answer.status_code

    codes = at_once([lambda seed=seed: send(seed) for seed in range(UPLOADS)])
    assert set(codes) <= {201, 409}
    return [seed for seed, code in enumerate(codes) if code == 201]


def assert_stored(
    calibration: Calibration, index: int, frame_of: Any, acknowledged: list[int]
) -> None:
    """The slot holds what was acknowledged, or, if nothing was, takes what is sent now."""
    if not acknowledged:
        sent = put(calibration.client, calibration.id, index, frame_of(UPLOADS))
        assert sent.status_code == 201, sent.text
        acknowledged = [UPLOADS]
    with calibration.service.catalog.reading() as session:
        slot = gradients.Slot(calibration.id, "up", index)
        row = gradients.find(session, slot)
    assert row is not None
    expected = frame_of(acknowledged[0])
    assert (row.state, row.digest) == ("stored", expected.digest())
    form: Any = row.form
    found = calibration.service.store.read(calibration.id, calibration.group, index, form)
    assert frame(found).digest() == expected.digest()
