"""Selecting in each backward pass, against a loop that says it simply."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.same import assert_same
from support.sparse_models import BERT_GROUPS, batch_for, random_basis, tiny_bert
from torch import Tensor, nn

from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.convert import sparsify
from sparsegrad_client.layers import sparse_layers
from sparsegrad_client.layers.selected import keep_largest
from sparsegrad_client.optim import build_optimizer

ENTRIES = 9
engines = pytest.mark.parametrize("engine", ["reference", "folded"])


def _sparse(engine: str, accumulate: str = "selected") -> nn.Module:
    model = tiny_bert()
    config = SparseGradConfig(
        entries=ENTRIES,
        engine=engine,  # type: ignore[arg-type]
        accumulate=accumulate,  # type: ignore[arg-type]
        error_feedback=False,  # which passes that select for themselves cannot have
    )
    return sparsify(model, random_basis(model, BERT_GROUPS), config)


def _gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: layer.coordinates.grad for name, layer in sparse_layers(model).items()}


def _backward(model: nn.Module, *seeds: int) -> None:
    for seed in seeds:
        model(**batch_for(model, seed)).loss.backward()


@given(st.integers(1, 40), st.integers(0, 2**16))
def test_the_largest_entries_stay_and_the_rest_is_zero(entries: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    gradient = torch.randn(5, 7, dtype=torch.float64, generator=generator)
    order = gradient.abs().flatten().argsort(descending=True)
    expected = gradient.clone()
    expected.view(-1)[order[entries:]] = 0
    assert torch.equal(keep_largest(gradient, entries), expected)


@engines
def test_each_backward_pass_adds_the_largest_entries_of_its_own_gradient(engine: str) -> None:
    selecting, whole = _sparse(engine), _sparse(engine, "gradients")
    expected = {
        name: torch.zeros(layer.shape).double() for name, layer in sparse_layers(whole).items()
    }
    for seed in range(3):
        _backward(whole, seed)
        for name, gradient in _gradients(whole).items():
            threshold = gradient.abs().flatten().topk(ENTRIES).values[-1]
            expected[name] += torch.where(gradient.abs() >= threshold, gradient, 0)
        whole.zero_grad()
    _backward(selecting, 0, 1, 2)
    torch.testing.assert_close(_gradients(selecting), expected)


@engines
def test_a_step_changes_every_entry_that_any_pass_selected(engine: str) -> None:
    model = _sparse(engine)
    optimizer = build_optimizer(model, lr=1e-2)
    _backward(model, 0, 1, 2)
    expected = {
        name: gradient.flatten().nonzero().flatten() for name, gradient in _gradients(model).items()
    }
    optimizer.step()
    layers = sparse_layers(model)
    assert_same({name: layer.delta.indices for name, layer in layers.items()}, expected)
    assert any(len(layer.delta) > ENTRIES for layer in layers.values())


@engines
def test_with_one_backward_pass_a_step_both_ways_are_one(engine: str) -> None:
    models = [_sparse(engine, "selected"), _sparse(engine, "gradients")]
    for model in models:
        optimizer = build_optimizer(model, lr=1e-2)
        for seed in range(3):
            _backward(model, seed)
            optimizer.step()
            optimizer.zero_grad()
    assert_same(models[0].state_dict(), models[1].state_dict())


@engines
def test_a_copied_model_selects_as_well(engine: str) -> None:
    model = _sparse(engine)
    twin = copy.deepcopy(model)
    for each in (model, twin):
        _backward(each, 0, 1)
    assert_same(_gradients(twin), _gradients(model))
    assert all(int((part != 0).sum()) <= 2 * ENTRIES for part in _gradients(twin).values())


@engines
def test_an_overflow_reaches_the_loss_scaler(engine: str) -> None:
    model = _sparse(engine).float()
    before = copy.deepcopy(model.state_dict())
    optimizer = build_optimizer(model, lr=1e-2)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    with torch.autocast("cpu", torch.float16):
        loss = model(**batch_for(model)).loss
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    assert_same(model.state_dict(), before)
    assert scaler.get_scale() == 2.0**39


@engines
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_compiled_it_selects_the_same(engine: str) -> None:
    layer = next(iter(sparse_layers(_sparse(engine)).values()))
    torch.compiler.reset()
    x = torch.randn(4, 7, layer.in_features, dtype=torch.float64)
    results = []
    for forward in (layer, torch.compile(layer, backend="aot_eager")):
        forward(x).square().sum().backward()
        results.append(layer.coordinates.grad)
        layer.coordinates.grad = None
    assert int((results[0] != 0).sum()) == ENTRIES
    assert_same(results[1], results[0])
