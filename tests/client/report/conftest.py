"""A real calibration of a small model, and the report that the server made of it."""

from __future__ import annotations

import pytest
import torch
from support import tiny_models
from support.calibrated import Calibrated
from support.servers import RunningServer
from transformers import BertConfig, BertForSequenceClassification

from sparsegrad_client import BasisService, calibrate
from sparsegrad_client.report.reading import download_report
from sparsegrad_shared.calibrations import DatasetSource
from sparsegrad_shared.report import BasisReport


@pytest.fixture(scope="session")
def calibrated(team_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Calibrated:
    """A BERT of two blocks, each with more rows and columns than a picture has bins."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tiny_models.VOCABULARY,
        hidden_size=80,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=160,
        max_position_embeddings=32,
    )
    batches = [tiny_models.classification_batch(seed, rows=8, length=12) for seed in range(6)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARSEGRAD_HOME", str(tmp_path_factory.mktemp("home")))
        basis = calibrate(
            BertForSequenceClassification(config),
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
