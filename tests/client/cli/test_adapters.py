"""``sparsegrad-client adapters``, on adapters that were really trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.adapters import random_adapter
from support.commands import Run
from support.sparse_models import basis_of, group_basis
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from sparsegrad_client.adapters import load_adapter, read_adapter
from sparsegrad_client.bases import fetch_basis

BASIS = basis_of(group_basis("up", ("a", "b"), 7, 5, ranks=(6, 4)))
ROWS = [("A fine film.", "good"), ("Dull from start to end.", "bad")]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """Folders of two random adapters on one basis."""
    for name, seed in (("one", 1), ("two", 2)):
        random_adapter(BASIS, 9, seed).save(tmp_path / name)
    return str(tmp_path / "one"), str(tmp_path / "two")


def _said(model: nn.Module, folder: Path) -> Tensor:
    encoded = AutoTokenizer.from_pretrained(folder)(
        [text for text, _ in ROWS], padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        logits: Tensor = model.eval()(**encoded).logits
    return logits


def test_adapters_are_shown_added_merged_and_converted(
    on_server: Run, client_home: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    data = tmp_path / "films.tsv"
    data.write_text("text\tverdict\n" + "".join("\t".join(row) + "\n" for row in ROWS * 20))
    task = ("-m", str(tiny_folder), "-d", str(data), "--label-column", "verdict")
    calibrated = on_server("calibrate", *task, "--steps", "2", "--held-out", "1",
                           "--name", "team/adapters")  # fmt: skip
    assert calibrated.returncode == 0, calibrated.stderr
    for name in ("first", "second"):
        trained = on_server("train", *task, "--basis", "team/adapters@1", "--lr", "0.01",
                            "--seed", str(len(name)), "--output", name)  # fmt: skip
        assert trained.returncode == 0, trained.stderr

    shown = on_server("adapters", "show", "first/adapter")
    assert shown.returncode == 0, shown.stderr
    adapter = read_adapter(tmp_path / "first" / "adapter")
    for expected in (
        f"digest    {adapter.basis_digest}",
        "team/adapters@1",
        "density 0.01",
        f"{adapter.entries:,} touched",
        "bert.encoder.layer.1.output.dense",
        "classifier.weight",
    ):
        assert expected in shown.stdout

    total = ("adapters", "add", "first/adapter", "second/adapter", "--output", "both")
    refused = on_server(*total)
    assert refused.returncode == 1
    assert "both trained 'classifier.weight'" in refused.stderr
    assert "--parameters" in refused.stderr
    added = on_server(*total, "--weights", "0.5,0.5", "--parameters", "first")
    assert added.returncode == 0, added.stderr
    assert "on basis team/adapters@1" in added.stdout

    merged = on_server("adapters", "merge", "first/adapter", "-m", str(tiny_folder),
                       "--output", "merged")  # fmt: skip
    assert merged.returncode == 0, merged.stderr
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    assert plain.config.id2label == {0: "bad", 1: "good"}
    basis = fetch_basis(adapter.basis_digest)  # the commands left it in the cache
    fresh = AutoModelForSequenceClassification.from_pretrained(tiny_folder, num_labels=2)
    load_adapter(fresh, adapter, basis)
    torch.testing.assert_close(
        _said(plain, tmp_path / "merged"), _said(fresh, tiny_folder), rtol=1e-5, atol=1e-6
    )

    converted = on_server("adapters", "to-lora", "both", "--rank", "3", "--output", "lora")
    assert converted.returncode == 0, converted.stderr
    assert "LoRA of rank 3" in converted.stdout
    assert "all layers" in converted.stdout
    assert (tmp_path / "lora" / "adapter_model.safetensors").is_file()


def test_weights_scale_and_subtract(run: Run, pair: tuple[str, str], tmp_path: Path) -> None:
    added = run("adapters", "add", *pair, "--weights", "-1,2.5", "--output", "less")
    assert added.returncode == 0, added.stderr
    one, two, less = (read_adapter(tmp_path / name) for name in ("one", "two", "less"))
    expected = 2.5 * two - one
    for name, delta in less.layers.items():
        torch.testing.assert_close(delta.values, expected.layers[name].values)


def test_what_is_there_is_never_written_over(
    run: Run, pair: tuple[str, str], tmp_path: Path
) -> None:
    for command in (
        ("add", *pair),
        ("merge", pair[0], "--model", str(tmp_path)),
        ("to-lora", pair[0], "--rank", "2"),
    ):
        failed = run("adapters", *command, "--output", pair[1], HF_HUB_OFFLINE="1")
        assert failed.returncode == 1
        assert "expected a new or empty folder" in failed.stderr
        assert failed.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "nowhere"), "nowhere is no adapter"),
        (("add", "one", "other", "--output", "o"), "only adapters on one basis"),
        (("merge", "one", "--model", "./nowhere", "--output", "o"), "it is not there"),
    ],
)
def test_wrong_arguments_are_one_line_that_names_them(
    run: Run, pair: tuple[str, str], tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    other = basis_of(*BASIS.groups.values(), seed=1)
    random_adapter(other, 9, 1).save(tmp_path / "other")
    failed = run("adapters", *arguments, HF_HUB_OFFLINE="1")
    assert failed.returncode == 1
    assert said in failed.stderr
    assert failed.stderr.startswith("error: ")
    assert failed.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_a_rank_under_one_is_wrong_usage(run: Run, pair: tuple[str, str]) -> None:
    failed = run("adapters", "to-lora", pair[0], "--rank", "0", "--output", "o")
    assert failed.returncode == 2
    assert "--rank" in failed.stderr
