"""A calibration on a running server, for the server's tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import httpx
import numpy as np

from sparsegrad_shared.calibrations import GroupSpec

from .gradients import D_IN, D_OUT, dense, dense_frame, open_calibration, put
from .service import Service


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
        self.assert_stored(expected)
        assert list(self.service.settings.staging_folder.iterdir()) == []

    def assert_stored(self, indices: Iterable[int]) -> None:
        """The gradients at these indices are, bit for bit, those of seeds of the same number."""
        for index in indices:
            found = self.service.store.read(self.id, self.group, index, "dense")["G"]
            np.testing.assert_array_equal(found, dense(index), strict=True)


def begin(service: Service, client: httpx.Client) -> Calibration:
    """Open one, with the gradient of seed 0 in slot 0."""
    calibration_id = open_calibration(client)
    assert put(client, calibration_id, 0, dense_frame(0)).status_code == 201
    return Calibration(calibration_id, client, service)
