"""SmolLM2 on instructions, from the GGUF file to the merged model, by the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.servers import RunningServer
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from sparsegrad_client import fetch_basis, load_adapter, merge
from sparsegrad_client.models import find_model, load_causal

from .conftest import Client

pytestmark = pytest.mark.slow

NAME = "team/smollm2-instruct"
COLUMNS = ("--text-columns", "instruction,input,output", "--max-length", "64")


@pytest.fixture(scope="module")
def output(
    client: Client, smollm2: Path, instruct: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Calibrated for 30 steps and trained for 20, every third block, up and down."""
    folder = tmp_path_factory.mktemp("trained") / "smollm2"
    data = ("--model", str(smollm2), "--dataset", str(instruct / "train.jsonl"), *COLUMNS)
    printed = client.run("calibrate", *data, "--steps", "30", "--batch-size", "2", "--name", NAME)
    assert f"{NAME}@1" in printed
    evaluation = ("--eval-dataset", str(instruct / "dev.jsonl"), "--eval-limit", "48")
    training = ("--limit", "80", "--batch-size", "4", "--lr", "3e-4")
    where = ("--basis", f"{NAME}@1", "--output", str(folder), "--merge")
    client.run("train", *data, *evaluation, *training, *where)
    return folder


@pytest.fixture(scope="module")
def loaded(client: Client, output: Path, smollm2: Path, server: RunningServer) -> Any:
    """The adapter on the pre-trained model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARSEGRAD_HOME", str(client.home))
        fresh = load_causal(find_model(str(smollm2)), dtype=torch.float32)
        fetched = fetch_basis(f"{NAME}@1", server.url, server.token)
    return load_adapter(fresh, output / "adapter", fetched).eval()


def test_the_loss_on_held_out_answers_falls(output: Path) -> None:
    results = json.loads((output / "results.json").read_text())
    assert results["after"]["loss"] < results["before"]["loss"]


def test_every_third_block_trains_100_000_entries_of_up_and_down(output: Path) -> None:
    results = json.loads((output / "results.json").read_text())
    assert results["entries"] == 20 * 100_000
    layers = json.loads((output / "adapter" / "adapter_config.json").read_text())["layers"]
    assert sorted(layers) == sorted(
        f"model.layers.{block}.mlp.{role}_proj"
        for block in range(0, 30, 3)
        for role in ("up", "down")
    )


def test_loaded_and_merged_models_give_the_same_outputs(output: Path, loaded: Any) -> None:
    tokenizer = AutoTokenizer.from_pretrained(output)
    batch = tokenizer("Name three colours.\n\nRed, green and blue.", return_tensors="pt")
    expected = _logits(loaded, batch)
    written = AutoModelForCausalLM.from_pretrained(output / "merged").eval()
    torch.testing.assert_close(_logits(written, batch), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(_logits(merge(loaded), batch), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def _logits(model: Any, batch: dict[str, Tensor]) -> Tensor:
    logits: Tensor = model(**batch).logits
    return logits
