"""A real calibration of a small model, and the report that the server made of it."""

from __future__ import annotations

import pytest
from support import tiny_models
from support.calibrated import Calibrated, pictured_model
from support.servers import RunningServer

from sparsegrad_client import BasisService, calibrate
from sparsegrad_client.report.reading import download_report
from sparsegrad_shared.calibrations import DatasetSource
from sparsegrad_shared.report import BasisReport


@pytest.fixture(scope="session")
def calibrated(team_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Calibrated:
    """A calibration of `pictured_model` at the team's server."""
    batches = [tiny_models.classification_batch(seed, rows=8, length=12) for seed in range(6)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARSEGRAD_HOME", str(tmp_path_factory.mktemp("home")))
        basis = calibrate(
            pictured_model(),
            batches,
            "team/pictured",
            server=team_server.url,
            token=team_server.token,
            dataset=DatasetSource(id="tests", fingerprint="sha256:0"),
            steps=4,
            held_out=2,
        )
    with BasisService(team_server.url, token=team_server.token) as service:
        version = service.resolve("team/pictured")
        return Calibrated(basis, version, download_report(service, version))


@pytest.fixture(scope="session")
def real_report(calibrated: Calibrated) -> BasisReport:
    """The report of that calibration."""
    return calibrated.report
