"""One server process for the session, and a calibration of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from support.calibrations import Calibration, begin
from support.service import Service, running


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


@pytest.fixture
def calibration(service: Service, client: httpx.Client) -> Calibration:
    """An open calibration that holds the gradient of seed 0 in slot 0."""
    return begin(service, client)
