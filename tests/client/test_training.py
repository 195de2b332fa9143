"""Training whole models: the engines follow one another, and so do the ways to resume."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from support.sparse_models import ARCHITECTURES, batch_for, random_basis, tiny_bert
from torch import Tensor, nn

from sparsegrad_client.config import Engine, SparseGradConfig
from sparsegrad_client.convert import merge, sparsify
from sparsegrad_client.layers import sparse_layers
from sparsegrad_client.optim import MaskedAdamReference, build_optimizer
from sparsegrad_client.selection import largest_entries_reference
from sparsegrad_client.support import Support

BATCHES = 8
ACCUMULATE = 2


def _accumulate(model: nn.Module, step: int) -> None:
    """The backward passes of one optimizer step."""
    for part in range(ACCUMULATE):
        batch = batch_for(model, seed=(step * ACCUMULATE + part) % BATCHES)
        (model(**batch).loss / ACCUMULATE).backward()


@torch.no_grad()
def _loss(model: nn.Module) -> Tensor:
    """The mean loss over all batches."""
    return torch.stack([model(**batch_for(model, seed)).loss for seed in range(BATCHES)]).mean()


SELECTIONS: dict[str, tuple[dict[str, Any], tuple[Engine, ...]]] = {
    "paper": ({"density": 0.05, "error_feedback": False}, ("reference", "folded")),
    "dynamic": ({"density": 0.05}, ("reference", "folded")),
    "frozen": ({"density": 0.05, "selection": "frozen"}, ("reference", "folded")),
    "block": ({"block": (5, 4), "selection": "block"}, ("reference", "folded", "adapter")),
}
# Overlaps the block before it, and is of another shape.
MOVED = Support(torch.tensor([0, 3, 8]), torch.tensor([1, 2, 3, 4, 5]))


def _train(model: nn.Module, steps: int, *, move_at: int | None = None) -> None:
    optimizer = build_optimizer(model)
    for step in range(steps):
        if step == move_at:
            for layer in sparse_layers(model).values():
                layer.move_(MOVED)
        _accumulate(model, step)
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize(
    ("architecture", "ranks", "selection"),
    [
        ("bert", None, "paper"),
        ("bert", None, "dynamic"),
        ("bert", None, "frozen"),
        ("bert", None, "block"),
        ("llama", (9, 6), "dynamic"),
        ("gpt2", (9, 6), "paper"),
        ("gpt2", (9, 6), "block"),
    ],
)
def test_all_engines_follow_the_reference_for_200_steps(
    architecture: str, ranks: tuple[int, int] | None, selection: str
) -> None:
    make, groups = ARCHITECTURES[architecture]
    sizes, engines = SELECTIONS[selection]
    models = []
    for engine in engines:
        model = make()
        sparsify(
            model,
            random_basis(model, groups, ranks=ranks),
            SparseGradConfig(engine=engine, train_bias=True, **sizes),
            warm_up=[batch_for(model)] if selection == "frozen" else (),
        )
        untrained = _loss(model)
        _train(model, 200, move_at=100 if selection == "block" else None)
        assert _loss(model) < untrained
        assert {layer.engine for layer in sparse_layers(model).values()} == {engine}
        models.append(model)
    reference, *others = models
    for other in others:
        _assert_layers_match(reference, other)
    expected, *merged = (dict(merge(model).named_parameters()) for model in models)
    for found in merged:
        assert found.keys() == expected.keys()
        for name, parameter in expected.items():
            torch.testing.assert_close(found[name], parameter, rtol=0, atol=1e-10)


def _assert_layers_match(reference: nn.Module, other: nn.Module) -> None:
    layers = sparse_layers(other)
    for name, layer in sparse_layers(reference).items():
        difference = layer.dense_weight() - layers[name].dense_weight()
        assert difference.abs().max() < 1e-10
        assert torch.equal(layer.delta.indices, layers[name].delta.indices)
        torch.testing.assert_close(layer.delta.values, layers[name].delta.values)
        assert layer.delta.values.abs().max() > 1e-3
        assert layer.touched == layers[name].touched == len(layer.delta)


def test_selection_is_made_on_the_accumulated_gradient() -> None:
    model = tiny_bert()
    sparsify(model, random_basis(model, ARCHITECTURES["bert"][1]), SparseGradConfig(entries=7))
    optimizer = build_optimizer(model)
    _accumulate(model, 0)
    expected = {
        name: largest_entries_reference(layer.coordinates.grad, 7)
        for name, layer in sparse_layers(model).items()
    }
    optimizer.step()
    for name, layer in sparse_layers(model).items():
        assert torch.equal(layer.delta.indices, expected[name])


@pytest.mark.parametrize("feedback", [False, True])
def test_the_reference_engine_trains_as_the_dense_rule_says(feedback: bool) -> None:
    ours, theirs = tiny_bert(), tiny_bert()
    for model in (ours, theirs):
        basis = random_basis(model, ARCHITECTURES["bert"][1])
        config = SparseGradConfig(
            entries=20, engine="reference", trainable=(), error_feedback=feedback
        )
        sparsify(model, basis, config)
    optimizer = build_optimizer(ours, lr=1e-3)
    coordinates = [layer.coordinates for layer in sparse_layers(theirs).values()]
    oracle = MaskedAdamReference(coordinates, entries=20, lr=1e-3, error_feedback=feedback)
    for step in range(20):
        for model, chosen in ((ours, optimizer), (theirs, oracle)):
            _accumulate(model, step)
            chosen.step()
            chosen.zero_grad()
    for one, other in zip(
        sparse_layers(ours).values(), sparse_layers(theirs).values(), strict=True
    ):
        torch.testing.assert_close(one.coordinates, other.coordinates)


@pytest.mark.parametrize("feedback", [False, True])
@pytest.mark.parametrize("engine", ["reference", "folded"])
def test_training_goes_on_from_its_checkpoint_as_if_it_had_not_stopped(
    engine: Engine, feedback: bool
) -> None:
    model = tiny_bert()
    basis = random_basis(model, ARCHITECTURES["bert"][1])
    config = SparseGradConfig(density=0.05, engine=engine, error_feedback=feedback)
    sparsify(model, basis, config)
    optimizer = build_optimizer(model)
    for step in range(10):
        _accumulate(model, step)
        optimizer.step()
        optimizer.zero_grad()
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))

    resumed = tiny_bert(seed=5)
    sparsify(resumed, basis, config)
    resumed.load_state_dict(saved[0])
    resumed_optimizer = build_optimizer(resumed, lr=1.0, head_lr=1.0)
    resumed_optimizer.load_state_dict(saved[1])
    for step in range(10, 20):
        for one, its_optimizer in ((model, optimizer), (resumed, resumed_optimizer)):
            _accumulate(one, step)
            its_optimizer.step()
            its_optimizer.zero_grad()
    for (name, tensor), other in zip(
        model.state_dict().items(), resumed.state_dict().values(), strict=True
    ):
        assert torch.equal(tensor, other), name
