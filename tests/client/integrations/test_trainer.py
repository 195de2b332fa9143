"""Training under the Hugging Face `Trainer`: the plain loop's numbers, and exact resumption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from support import trainer_runs
from support.same import assert_same
from support.sparse_models import BERT_GROUPS, random_basis
from support.trainer_runs import (
    SAVE_EVERY,
    STEPS,
    Sentences,
    plain_bert,
    sparse_bert,
    trainer_for,
    without_dropout,
)
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, default_data_collator, get_scheduler

from sparsegrad_client.adapters import load_adapter
from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.convert import merge
from sparsegrad_client.integrations.trainer import SparseGradCallback
from sparsegrad_client.layers import ENGINES, sparse_layers
from sparsegrad_client.optim import build_optimizer
from sparsegrad_client.support import Support
from sparsegrad_shared.errors import InvalidInput, WrongBasis

engines = pytest.mark.parametrize("engine", ENGINES)
BASIS = random_basis(plain_bert(), BERT_GROUPS, dtype=torch.float32)


def _config(engine: str = "folded", **settings: Any) -> SparseGradConfig:
    return SparseGradConfig(entries=9, engine=engine, **settings)  # type: ignore[arg-type]


def _assert_same_end(ours: Trainer, theirs: Trainer) -> None:
    assert ours.state.global_step == theirs.state.global_step == STEPS
    assert_same(ours.model.state_dict(), theirs.model.state_dict())
    assert_same(ours.optimizer.state_dict(), theirs.optimizer.state_dict())
    assert_same(ours.lr_scheduler.state_dict(), theirs.lr_scheduler.state_dict())


def _checkpoint(folder: Path, step: int = SAVE_EVERY) -> Path:
    return folder / f"checkpoint-{step}"


@engines
@pytest.mark.parametrize(
    "arguments",
    [{}, {"gradient_accumulation_steps": 2}, {"bf16": True}],
    ids=lambda arguments: next(iter(arguments), "plain"),
)
def test_a_resumed_run_ends_as_the_uninterrupted_one_to_the_bit(
    engine: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    straight = trainer_for(
        sparse_bert(_config(engine)), tmp_path, SparseGradCallback(), **arguments
    )
    straight.train()
    resumed = trainer_for(sparse_bert(_config(engine)), tmp_path, SparseGradCallback(), **arguments)
    resumed.train(resume_from_checkpoint=str(_checkpoint(tmp_path)))
    _assert_same_end(resumed, straight)
    assert sum(len(layer.delta) for layer in sparse_layers(resumed.model).values()) > 0


class MoveAfter(TrainerCallback):
    """Moves every layer's block after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: object, state: Any, control: object, **kwargs: Any) -> None:
        if state.global_step == self.step:
            for layer in sparse_layers(kwargs["model"]).values():
                layer.move_(Support(torch.tensor([0, 2, 7]), torch.tensor([1, 5])))


@pytest.mark.parametrize("engine", ["folded", "adapter"])
@pytest.mark.parametrize("moved_after", [SAVE_EVERY - 1, SAVE_EVERY + 1])
def test_a_block_that_moved_is_where_it_was_when_a_run_goes_on(
    engine: str, moved_after: int, tmp_path: Path
) -> None:
    config = SparseGradConfig(block=(4, 2), engine=engine)  # type: ignore[arg-type]
    straight, resumed = (
        trainer_for(sparse_bert(config), tmp_path, MoveAfter(moved_after), SparseGradCallback())
        for _ in range(2)
    )
    straight.train()
    assert {len(layer.delta) for layer in sparse_layers(straight.model).values()} != {8}
    resumed.train(resume_from_checkpoint=str(_checkpoint(tmp_path)))
    _assert_same_end(resumed, straight)


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    straight = trainer_for(sparse_bert(_config()), tmp_path / "straight", SparseGradCallback())
    straight.train()
    killed = subprocess.run(
        [sys.executable, "-m", "support.trainer_runs", str(tmp_path / "killed"), "folded"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    resumed = trainer_for(sparse_bert(_config()), tmp_path / "killed", SparseGradCallback())
    resumed.train(resume_from_checkpoint=True)
    _assert_same_end(resumed, straight)


def test_the_optimizer_alone_resumes_exactly(tmp_path: Path) -> None:
    straight, resumed = (trainer_for(sparse_bert(_config()), tmp_path) for _ in range(2))
    straight.train()
    resumed.train(resume_from_checkpoint=str(_checkpoint(tmp_path)))
    _assert_same_end(resumed, straight)


@engines
def test_the_trainer_takes_the_plain_loops_steps(engine: str, tmp_path: Path) -> None:
    trainer = trainer_for(without_dropout(sparse_bert(_config(engine))), tmp_path)
    batches: list[dict[str, Tensor]] = []

    def collate(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        batches.append(default_data_collator(rows))
        return batches[-1]

    trainer.data_collator = collate
    trainer.train()
    model = without_dropout(sparse_bert(_config(engine))).train()
    optimizer = build_optimizer(model, lr=1e-2, head_lr=5e-3)
    schedule = get_scheduler("linear", optimizer, 0, STEPS)
    for batch in batches[:STEPS]:
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), trainer.args.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    assert_same(model.state_dict(), trainer.model.state_dict())


def test_the_schedule_reaches_the_sparse_layers_and_the_head(tmp_path: Path) -> None:
    trainer = trainer_for(sparse_bert(_config()), tmp_path, warmup_steps=2)
    trainer.train()
    rates = [logged["learning_rate"] for logged in trainer.state.log_history[:3]]
    assert rates == pytest.approx([0, 1e-2 / 2, 1e-2])
    assert [group["initial_lr"] for group in trainer.optimizer.param_groups] == [1e-2, 5e-3]
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [0, 0]


def test_a_models_own_factory_serves_a_trainer_that_makes_its_models(tmp_path: Path) -> None:
    given = trainer_for(sparse_bert(_config()), tmp_path / "given", SparseGradCallback())
    made = Trainer(
        model_init=lambda: sparse_bert(_config()),
        args=given.args,
        train_dataset=Sentences(),
        optimizer_cls_and_kwargs=(lambda: build_optimizer, {"lr": 1e-2, "head_lr": 5e-3}),
        callbacks=[SparseGradCallback()],
    )
    given.train()
    made.train()
    _assert_same_end(made, given)


def test_any_optimizer_trains_adapters_and_resumes_exactly(tmp_path: Path) -> None:
    config = SparseGradConfig(block=(4, 2), engine="adapter")
    straight, resumed = (
        trainer_for(
            model,
            tmp_path,
            SparseGradCallback(),
            optimizer=torch.optim.AdamW(_trainable(model), lr=1e-2),
        )
        for model in (sparse_bert(config), sparse_bert(config))
    )
    straight.train()
    assert all(bool(layer.delta.values.any()) for layer in sparse_layers(straight.model).values())
    resumed.train(resume_from_checkpoint=str(_checkpoint(tmp_path)))
    _assert_same_end(resumed, straight)


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def test_a_checkpoint_of_an_adapter_holds_no_frozen_weight(tmp_path: Path) -> None:
    config = SparseGradConfig(block=(4, 2), engine="adapter")
    trainer = trainer_for(sparse_bert(config), tmp_path, SparseGradCallback())
    trainer.train()
    held = safetensors.torch.load_file(_checkpoint(tmp_path, STEPS) / "model.safetensors")
    parts = ("coordinates", "positions", "settled.indices", "settled.values")
    layers = {f"{name}.{part}" for name in sparse_layers(trainer.model) for part in parts}
    assert held.keys() == layers | {"classifier.weight", "classifier.bias"}


def test_a_checkpoint_holds_what_changes_and_an_adapter(tmp_path: Path) -> None:
    trainer = trainer_for(sparse_bert(_config()), tmp_path, SparseGradCallback())
    trainer.train()
    held = safetensors.torch.load_file(_checkpoint(tmp_path, STEPS) / "model.safetensors")
    layers = sparse_layers(trainer.model)
    assert all(name.startswith((*layers, "classifier")) for name in held)
    assert {f"{name}.weight" for name in layers} | {"classifier.weight"} <= held.keys()
    loaded = load_adapter(plain_bert(), _checkpoint(tmp_path, STEPS) / "adapter", BASIS)
    _assert_same_function(loaded, trainer.model)
    _assert_same_function(load_adapter(plain_bert(), tmp_path / "adapter", BASIS), trainer.model)


def _assert_same_function(ours: nn.Module, theirs: nn.Module) -> None:
    batch = trainer_runs.tiny_models.classification_batch(99)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(**batch).logits, theirs.eval()(**batch).logits)


def test_after_training_the_model_is_saved_whole(tmp_path: Path) -> None:
    trainer = trainer_for(sparse_bert(_config()), tmp_path / "run", SparseGradCallback())
    trainer.train()
    trainer.save_model(str(tmp_path / "whole"))
    held = safetensors.torch.load_file(tmp_path / "whole" / "model.safetensors")
    assert held.keys() == trainer.model.state_dict().keys()


def test_a_run_that_was_cut_off_merges_into_a_model_that_is_saved_whole(tmp_path: Path) -> None:
    model = sparse_bert(_config())
    trainer_for(model, tmp_path / "run", SparseGradCallback())  # and no training to its end
    plain = merge(model)
    plain.save_pretrained(tmp_path / "whole")
    held = safetensors.torch.load_file(tmp_path / "whole" / "model.safetensors")
    assert held.keys() == plain.state_dict().keys() == plain_bert().state_dict().keys()


def test_the_best_model_is_loaded_at_the_end_and_its_adapter_written(tmp_path: Path) -> None:
    trainer = trainer_for(
        sparse_bert(_config()),
        tmp_path,
        SparseGradCallback(),
        load_best_model_at_end=True,
        metric_for_best_model="best_is_the_first",
        greater_is_better=False,
        eval_strategy="steps",
        eval_steps=SAVE_EVERY,
    )
    trainer.compute_metrics = lambda _: {"best_is_the_first": trainer.state.global_step}
    trainer.train()
    assert trainer.state.best_model_checkpoint == str(_checkpoint(tmp_path))
    best = load_adapter(plain_bert(), _checkpoint(tmp_path) / "adapter", BASIS)
    _assert_same_function(trainer.model, best)
    _assert_same_function(trainer.model, load_adapter(plain_bert(), tmp_path / "adapter", BASIS))


def _resume_with(model: nn.Module, folder: Path) -> None:
    trainer_for(sparse_bert(_config()), folder, SparseGradCallback()).train()
    trainer = trainer_for(model, folder, SparseGradCallback())  # type: ignore[arg-type]
    trainer.train(resume_from_checkpoint=str(_checkpoint(folder)))


def test_another_basis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongBasis, match=r"its basis is sha256:.*the model's is sha256:"):
        _resume_with(sparse_bert(_config(), basis=1), tmp_path)


def test_other_frozen_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="digest of frozen weights.*same pre-trained weights"):
        _resume_with(sparse_bert(_config(), seed=1), tmp_path)


def test_another_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="its engine is folded, the model's is reference"):
        _resume_with(sparse_bert(_config("reference")), tmp_path)


def test_a_plain_model_is_refused_when_the_trainer_is_made(tmp_path: Path) -> None:
    optimizer = torch.optim.SGD(plain_bert().parameters())
    with pytest.raises(InvalidInput, match="no sparse layers"):
        trainer_for(plain_bert(), tmp_path, SparseGradCallback(), optimizer=optimizer)


def test_an_optimizer_that_cannot_train_the_layers_is_refused(tmp_path: Path) -> None:
    model = sparse_bert(_config())
    optimizer = torch.optim.AdamW(model.parameters())
    trainer = trainer_for(model, tmp_path, SparseGradCallback(), optimizer=optimizer)
    with pytest.raises(InvalidInput, match=r"got a AdamW.*build_optimizer\(model\)"):
        trainer.train()


def _fits(trainer: Trainer) -> dict[int, dict[str, float]]:
    return {
        entry["step"]: {name: value for name, value in entry.items() if name.startswith("fit/")}
        for entry in trainer.state.log_history
        if any(name.startswith("fit/") for name in entry)
    }


@engines
def test_gradients_are_held_against_the_basis_and_logged(engine: str, tmp_path: Path) -> None:
    config = SparseGradConfig(block=(5, 3), engine=engine)  # type: ignore[arg-type]
    callback = SparseGradCallback(fit_every=3)
    trainer = trainer_for(sparse_bert(config), tmp_path, callback)
    trainer.train()
    found = _fits(trainer)
    assert list(found) == [1, 2, 3, 4, 6, 8]
    for shares in found.values():
        for group in BERT_GROUPS:
            energy, captured = (shares[f"fit/{group}/{name}"] for name in ("energy", "captured"))
            assert 0 < energy < captured == pytest.approx(1)
    assert callback.fit is not None
    assert callback.fit.groups["output"].energy is not None
    assert all(layer.observer is None for layer in sparse_layers(trainer.model).values())

    resumed = trainer_for(sparse_bert(config), tmp_path, SparseGradCallback(fit_every=3))
    resumed.train(resume_from_checkpoint=str(_checkpoint(tmp_path)))
    assert _fits(resumed) == found


def test_without_a_look_nothing_is_logged(tmp_path: Path) -> None:
    callback = SparseGradCallback(fit_every=None)
    trainer = trainer_for(sparse_bert(_config()), tmp_path, callback)
    trainer.train()
    assert _fits(trainer) == {}
    assert callback.fit is None
