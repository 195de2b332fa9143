"""The commands one after the other, on a small model and a real server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support.commands import Run
from support.servers import RunningServer
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertModel,
)

from sparsegrad_client import SparseGradConfig, fetch_basis, load_adapter
from sparsegrad_client.adapters import read_adapter
from sparsegrad_client.fit.basis_fit import FIRST
from sparsegrad_client.layers import AdapterLinear, sparse_layers
from sparsegrad_client.training.record import EvaluationLine, FitLine, StepLine, read_record


@pytest.fixture
def data(tmp_path: Path, tiny_folder: Path) -> tuple[str, ...]:
    """Options that name the model, the data and the columns."""
    path = tmp_path / "films.tsv"
    rows = [("A fine film.", "good"), ("Dull from start to end.", "bad")] * 40
    path.write_text("text\tverdict\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    return ("-m", str(tiny_folder), "-d", str(path), "--label-column", "verdict")


def test_a_basis_is_made_inspected_named_and_trained_with(
    on_server: Run, data: tuple[str, ...], tmp_path: Path
) -> None:
    calibrate = ("calibrate", *data, "--steps", "4", "--held-out", "2", "--name", "team/films")
    calibrate += ("--tag", "films", "--ttl-days", "2")
    first = on_server(*calibrate)
    assert first.returncode == 0, first.stderr
    assert "basis   team/films@1" in first.stdout
    second = on_server(*calibrate, "--seed", "1")
    assert "basis   team/films@2" in second.stdout

    listed = on_server("bases", "list", "--name", "team/films", "--tag", "films").stdout
    assert listed.index("team/films@2") < listed.index("team/films@1")
    shown = on_server("bases", "show", "team/films@1").stdout
    assert "tiny-bert (BertForSequenceClassification)" in shown
    assert str(tmp_path) not in shown
    report = on_server("bases", "report", "team/films").stdout
    assert "team/films@2" in report
    assert "intermediate" in report
    diff = on_server("bases", "diff", "team/films@1", "team/films@1")
    assert "100.0%" in diff.stdout, diff.stderr
    assert "before: " not in on_server("bases", "alias", "set", "team/films@1", "prod").stdout
    moved = on_server("bases", "alias", "set", "team/films@2", "prod").stdout
    assert "team/films:prod is version 2 (before: version 1)" in moved
    lost = on_server("bases", "alias", "set", "team/films@1", "prod", "--expect", "1")
    assert lost.returncode == 1
    history = on_server("bases", "history", "team/films:prod").stdout
    assert "team/films:prod is version 2" in history
    pulled = on_server("bases", "pull", "team/films:prod").stdout
    assert (Path(pulled.splitlines()[1]) / "manifest.json").is_file()

    train = ("train", *data, "--basis", "team/films:prod", "--epochs", "3", "--lr", "0.01")
    trained = on_server(*train, "--output", str(tmp_path / "out"), "--merge", "--report")
    assert trained.returncode == 0, trained.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["after"]["loss"] < results["before"]["loss"]
    assert results["entries"] == 4 * round(0.01 * 32 * 64)
    assert (results["engine"], results["selection"]) == ("folded", "dynamic")
    assert re.search(r"engine, selection\W+folded, dynamic", trained.stdout)
    _check_record(tmp_path / "out", results)
    config = json.loads((tmp_path / "out" / "merged" / "config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "good"}

    papers = on_server(*train, "--no-error-feedback", "--output", str(tmp_path / "papers"))
    assert papers.returncode == 0, papers.stderr
    ours, theirs = (read_adapter(tmp_path / name / "adapter") for name in ("out", "papers"))
    assert ours.training == SparseGradConfig()
    assert theirs.training == SparseGradConfig(error_feedback=False)


def _check_record(folder: Path, results: dict[str, Any]) -> None:
    record = read_record(folder)
    steps = record.of(StepLine)
    assert record.finished
    assert [line.loss for line in steps] == results["losses"]
    assert str(record.run.basis.reference) == "team/films@2"
    before, after = record.of(EvaluationLine)
    assert (before.step, before.loss) == (0, results["before"]["loss"])
    assert (after.step, after.loss) == (len(steps), results["after"]["loss"])
    touched = [sum(line.touched.values()) for line in steps]
    assert touched == sorted(touched)
    assert touched[-1] == results["touched"]
    assert sum(steps[0].updated.values()) == results["entries"]
    sampled = record.of(FitLine)
    assert [line.step for line in sampled] == [step for step in FIRST if step <= len(steps)]
    for name, group in record.run.groups.items():
        assert group.calibration == results["fits"][name]["calibration"] is not None
        assert 0 < sampled[-1].groups[name].energy <= sampled[-1].groups[name].captured <= 1
    assert (folder / "report" / "index.html").is_file()


def test_a_block_that_was_trained_beside_the_weights_loads_as_it_was(
    on_server: Run, data: tuple[str, ...], tmp_path: Path, tiny_folder: Path
) -> None:
    calibrated = on_server(
        "calibrate", *data, "--steps", "2", "--held-out", "1", "--share", "layer", "--rank", "16",
        "--name", "team/blocks",
    )  # fmt: skip
    assert calibrated.returncode == 0, calibrated.stderr
    trained = on_server(
        "train", *data, "--basis", "team/blocks@1", "--engine", "adapter", "--selection", "block",
        "--block", "8x4", "--lr", "0.01", "--output", str(tmp_path / "out"), "--merge",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr

    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["sparse_values"] == 4 * 32 * 64
    assert results["entries"] == results["touched"] == 4 * 8 * 4
    assert (results["engine"], results["selection"]) == ("adapter", "block")
    adapter = read_adapter(tmp_path / "out" / "adapter")
    config = SparseGradConfig(engine="adapter", selection="block", block=(8, 4))
    assert adapter.training == config
    plain = AutoModelForSequenceClassification.from_pretrained(tiny_folder, num_labels=2)
    sparse = load_adapter(plain, adapter, fetch_basis(adapter.basis_digest))
    layers = sparse_layers(sparse)
    assert len(layers) == 4
    for layer in layers.values():
        assert isinstance(layer, AdapterLinear)
        assert layer.coordinates.shape == (8, 4)
        assert layer.coordinates.count_nonzero() == 32
    merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out" / "merged")
    sentence = {"input_ids": torch.tensor([[101, 2023, 2003, 102]])}
    with torch.no_grad():
        expected = merged.eval()(**sentence).logits
        torch.testing.assert_close(sparse.eval()(**sentence).logits, expected)


def test_a_basis_that_does_not_exist_is_answered_with_those_that_do(
    on_server: Run, data: tuple[str, ...]
) -> None:
    made = on_server("calibrate", *data, "--steps", "1", "--name", "team/known")
    assert made.returncode == 0, made.stderr
    failed = on_server("bases", "show", "team/known@7")
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ")
    assert "1" in failed.stderr


def test_an_interrupted_calibration_says_how_to_go_on_and_does(
    on_server: Run, team_server: RunningServer, data: tuple[str, ...], client_home: Path
) -> None:
    calibrate = ("calibrate", *data, "--steps", "60", "--name", "team/interrupted")
    process = subprocess.Popen(
        [sys.executable, "-c", "from sparsegrad_client.cli import main; main()", *calibrate],
        env=os.environ
        | {
            "SPARSEGRAD_SERVER": team_server.url,
            "SPARSEGRAD_TOKEN": team_server.token,
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("collecting gradients: 0/63")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in said
    calibration = said.split("--resume ")[1].split(")")[0]

    resumed = on_server(*calibrate, "--resume", calibration)
    assert resumed.returncode == 0, resumed.stderr
    assert "basis   team/interrupted@1" in resumed.stdout


def test_a_basis_of_another_model_is_left_for_its_next_version(
    on_server: Run, tmp_path: Path, minilm_folder: str
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder)
    for seed in (1, 2):
        torch.manual_seed(seed)
        config = BertConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
            initializer_range=0.2,
        )
        BertModel(config).save_pretrained(tmp_path / f"model-{seed}")
        tokenizer.save_pretrained(tmp_path / f"model-{seed}")
    rows = [("A fine film.", "good"), ("Dull from start to end.", "bad")] * 40
    (tmp_path / "films.tsv").write_text(
        "text\tverdict\n" + "".join(f"{text}\t{label}\n" for text, label in rows)
    )
    data = ("-d", "films.tsv", "--label-column", "verdict", "--batch-size", "4")
    steps = ("--steps", "6", "--held-out", "3")
    made = on_server("calibrate", "-m", "model-2", *data, *steps, "--name", "team/foreign")
    assert made.returncode == 0, made.stderr
    train = ("train", "-m", "model-1", "-b", "team/foreign@1", *data, "--epochs", "2")
    trained = on_server(*train, "--output", "out", "--recalibrate")
    assert trained.returncode == 0, trained.stderr
    assert "the basis no longer fits group " in trained.stderr
    assert re.search(r"team/foreign@1\W+team/foreign@2", trained.stdout)
    assert "before   out/recalibration/adapter" in trained.stdout
    adapters = [
        read_adapter(tmp_path / "out" / part) for part in ("recalibration/adapter", "adapter")
    ]
    assert [adapter.basis_reference for adapter in adapters] == ["team/foreign@1", "team/foreign@2"]
    shown = on_server("bases", "show", "team/foreign@2").stdout
    assert "recalibrated" in shown
    again = on_server(*train, "--output", "out", "--recalibrate")
    assert "expected a new or empty folder" in again.stderr
