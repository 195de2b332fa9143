"""One server process for the session, and a calibration of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import numpy as np
import pytest
from support.gradients import D_IN, D_OUT, dense, dense_frame, open_calibration, put
from support.service import Service, running

from sparsegrad_shared.calibrations import GroupSpec


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A server with ordinary settings."""
    with running(tmp_path_factory.mktemp("service") / "data") as service:
        yield service


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[httpx.Client]:
    """A client that may write in namespace `team`."""
    with service.client() as client:
        yield client


@dataclass
class Calibration:
    """An open calibration that holds the gradient of seed 0 in slot 0."""

    id: str
    client: httpx.Client
    service: Service

    @property
    def group(self) -> GroupSpec:
        """What was announced."""
        return GroupSpec(
            name="up",
            layers=("encoder.0.up",),
            d_out=D_OUT,
            d_in=D_IN,
            dtype="float32",
            gradients=8,
            held_out=2,
        )

    def arrived(self) -> list[int]:
        """Which indices the server says it has."""
        answer = self.client.get(f"/v1/calibrations/{self.id}")
        return list(answer.json()["groups"][0]["arrived"])

    def assert_intact(self, *indices: int) -> None:
        """What was stored is there bit for bit, nothing else is, and nothing is left over."""
        expected = indices or (0,)
        assert self.arrived() == list(expected)
        for index in expected:
            found = self.service.store.read(self.id, self.group, index, "dense")["G"]
            np.testing.assert_array_equal(found, dense(index), strict=True)
        assert list(self.service.settings.staging_folder.iterdir()) == []


@pytest.fixture
def calibration(service: Service, client: httpx.Client) -> Calibration:
    """An open calibration that holds the gradient of seed 0 in slot 0."""
    return begin(service, client)


def begin(service: Service, client: httpx.Client) -> Calibration:
    calibration_id = open_calibration(client)
    assert put(client, calibration_id, 0, dense_frame(0)).status_code == 201
    return Calibration(calibration_id, client, service)
