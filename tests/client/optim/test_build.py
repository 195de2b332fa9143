"""One optimizer for a whole sparse model, as schedulers, scalers and checkpoints see it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.same import assert_same
from support.sparse_models import BERT_GROUPS, batch_for, random_basis, tiny_bert
from torch import nn

from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.convert import sparsify
from sparsegrad_client.layers import ENGINES, sparse_layers
from sparsegrad_client.optim import (
    MaskedAdam,
    SparseGradOptimizer,
    build_optimizer,
    other_parameters,
)
from sparsegrad_shared.errors import InvalidInput


def _model(**config: object) -> nn.Module:
    model = tiny_bert()
    return sparsify(model, random_basis(model, BERT_GROUPS), SparseGradConfig(**config))  # type: ignore[arg-type]


def test_the_head_follows_adamw_and_the_layers_masked_adam() -> None:
    one, two = _model(entries=9), _model(entries=9)
    optimizer = build_optimizer(one, lr=1e-3, head_lr=5e-3, weight_decay=0.1)
    masked = MaskedAdam(sparse_layers(two).values(), lr=1e-3)
    adamw = torch.optim.AdamW(two.classifier.parameters(), lr=5e-3, weight_decay=0.1)
    for seed in range(10):
        for model in (one, two):
            model.zero_grad()
            model(**batch_for(model, seed)).loss.backward()
        optimizer.step()
        masked.step()
        adamw.step()
    for (name, tensor), other in zip(
        one.state_dict().items(), two.state_dict().values(), strict=True
    ):
        assert torch.equal(tensor, other), name


@pytest.mark.parametrize("engine", ENGINES)
def test_what_trains_beside_the_coordinates_is_the_head_and_the_biases(engine: str) -> None:
    model = _model(entries=9, engine=engine, train_bias=True)
    biases = [layer.bias for layer in sparse_layers(model).values()]
    expected = {id(parameter) for parameter in (*biases, *model.classifier.parameters())}
    assert {id(parameter) for parameter in other_parameters(model)} == expected


def test_a_schedulers_rate_reaches_both_parts() -> None:
    model = _model()
    optimizer = build_optimizer(model)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0 if step else 1.0)
    for moves in (True, False):
        before = copy.deepcopy(model.state_dict())
        model.zero_grad()
        model(**batch_for(model)).loss.backward()
        optimizer.step()
        schedule.step()
        after = model.state_dict()
        changed = {
            name
            for name, tensor in after.items()
            if tensor.shape != before[name].shape or not torch.equal(tensor, before[name])
        }
        weights = {name for name in changed if name.endswith(".weight")}
        assert ("classifier.weight" in weights) is moves
        assert any("intermediate" in name for name in weights) is moves


@pytest.mark.parametrize(
    "make",
    [
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=5),
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5),
        lambda optimizer: torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer),
    ],
)
def test_schedulers_of_torch_take_it(make: Callable[..., Any]) -> None:
    model = _model()
    optimizer = build_optimizer(model)
    schedule = make(optimizer)
    rates = {group["lr"] for group in optimizer.param_groups}
    model(**batch_for(model)).loss.backward()
    optimizer.step()
    plateau = isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau)
    for loss in range(12) if plateau else range(1):
        schedule.step(float(loss)) if plateau else schedule.step()
    assert {group["lr"] for group in optimizer.param_groups} != rates


def test_rates_keep_reaching_both_parts_after_a_state_was_loaded() -> None:
    model = _model()
    optimizer = build_optimizer(model)
    optimizer.load_state_dict(build_optimizer(_model(), lr=0.0, head_lr=0.0).state_dict())
    before = model.classifier.weight.detach().clone()
    model(**batch_for(model)).loss.backward()
    optimizer.step()
    assert torch.equal(model.classifier.weight, before)
    optimizer.param_groups[1]["lr"] = 0.1
    optimizer.step()
    assert not torch.equal(model.classifier.weight, before)


def test_a_scaler_skips_a_step_whose_gradients_overflowed() -> None:
    model = _model().float()
    optimizer = build_optimizer(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    batch = batch_for(model)
    scaler.scale(model(**batch).loss).backward()
    sparse_layers(model)["bert.encoder.layer.0.output.dense"].coordinates.grad[0, 0] = torch.inf
    scaler.step(optimizer)
    scaler.update()
    assert optimizer.touched_entries() == 0
    optimizer.zero_grad()
    scaler.scale(model(**batch).loss).backward()
    scaler.step(optimizer)
    scaler.update()
    assert optimizer.touched_entries() > 0


def test_zero_grad_reaches_everything_that_trains() -> None:
    model = _model(train_bias=True)
    optimizer = build_optimizer(model)
    model(**batch_for(model)).loss.backward()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for parameter in trained)
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in trained)


def test_hooks_run_once_a_step() -> None:
    model = _model()
    optimizer = build_optimizer(model)
    calls: list[object] = []
    optimizer.register_step_post_hook(lambda *_: calls.append(None))
    model(**batch_for(model)).loss.backward()
    optimizer.step()
    assert len(calls) == 1


def test_without_a_head_it_is_masked_adam_alone() -> None:
    assert type(build_optimizer(_model(trainable=()))) is MaskedAdam
    assert type(build_optimizer(_model())) is SparseGradOptimizer


def test_a_plain_model_and_bad_settings_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no sparse layers"):
        build_optimizer(tiny_bert())
    with pytest.raises(InvalidInput, match="head_lr"):
        build_optimizer(_model(), head_lr=-1.0)


def test_a_parameter_that_is_thawed_later_is_refused() -> None:
    model = _model()
    optimizer = build_optimizer(model)
    late = model.bert.embeddings.word_embeddings.weight.requires_grad_(True)
    with pytest.raises(InvalidInput, match="make another one"):
        optimizer.add_param_group({"params": [late]})
    assert len(optimizer.param_groups) == 2


@pytest.mark.parametrize("feedback", [False, True])
def test_a_distributed_checkpoint_of_one_process_goes_on_exactly(*, feedback: bool) -> None:
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

    def stepped(model: nn.Module, optimizer: MaskedAdam, seeds: range) -> None:
        for seed in seeds:
            model.zero_grad()
            model(**batch_for(model, seed)).loss.backward()
            optimizer.step()

    whole, cut, resumed = (_model(entries=9, error_feedback=feedback) for _ in range(3))
    one, two, three = (build_optimizer(model) for model in (whole, cut, resumed))
    stepped(whole, one, range(6))
    stepped(cut, two, range(3))
    model_state, optimizer_state = copy.deepcopy(get_state_dict(cut, two))
    set_state_dict(resumed, three, model_state_dict=model_state, optim_state_dict=optimizer_state)
    stepped(resumed, three, range(3, 6))
    assert_same(whole.state_dict(), resumed.state_dict())
