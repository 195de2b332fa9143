"""Warm-ups: the energy of gradients in a basis, against gradients by autograd."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sparse_models import group_basis
from torch import Tensor, nn

from sparsegrad_client.calibration.ranks import Ranks
from sparsegrad_client.warm_up import Watched, all_entries, measure, rows_and_columns
from sparsegrad_shared.errors import InvalidInput

D = 5


class _Model(nn.Module):
    """A layer that is called twice, one that is called once by keyword, and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.once, self.never = (nn.Linear(D, D).double() for _ in range(3))

    def forward(self, x: Tensor, scale: float = 1.0) -> SimpleNamespace:
        y = self.once(input=torch.tanh(self.twice(torch.tanh(self.twice(x)))))
        return SimpleNamespace(loss=scale * y.square().mean())


def _model(seed: int) -> _Model:
    torch.manual_seed(seed)
    return _Model()


def _batches(count: int) -> list[dict[str, Tensor]]:
    return [{"x": torch.randn(2, 3, D, dtype=torch.float64)} for _ in range(count)]


def _watch(model: _Model, *names: str, reduce: object = all_entries) -> list[Watched]:
    group = group_basis("g", names, D, D, ranks=(4, 3))
    return [Watched(name, [getattr(model, name)], group, reduce) for name in names]


@settings(max_examples=20)
@given(st.integers(0, 2**16), st.integers(1, 3), st.booleans())
def test_the_energy_is_that_of_autograds_gradients(seed: int, count: int, frozen: bool) -> None:
    model = _model(seed)
    batches = _batches(count)
    whole = _watch(model, "twice", "once")
    sums = _watch(model, "twice", "once", reduce=rows_and_columns)
    model.requires_grad_(not frozen)
    measure(model, [*whole, *sums], batches, Ranks())
    model.requires_grad_(True)
    for layer, (of_rows, of_columns) in zip(whole, (s.energy for s in sums), strict=True):
        expected = torch.zeros(4, 3, dtype=torch.float64)
        (weight,) = (module.weight for module in layer.modules)
        for batch in batches:
            (G,) = torch.autograd.grad(model(**batch).loss, weight)
            expected += (layer.group.V.T @ G @ layer.group.U).square()
        torch.testing.assert_close(layer.energy, (expected,))
        torch.testing.assert_close((of_rows, of_columns), (expected.sum(1), expected.sum(0)))


def test_the_model_is_left_as_it_was() -> None:
    model = _model(0).eval()
    model.once.weight.requires_grad_(False)
    model.twice.bias.grad = torch.ones(D, dtype=torch.float64)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    random = torch.get_rng_state()
    batches = [{"x": torch.ones(2, D, dtype=torch.float64)}]
    measure(model, _watch(model, "twice", "once"), batches, Ranks())
    assert torch.equal(torch.get_rng_state(), random)
    assert not model.training
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.requires_grad == (name != "once.weight")
        assert (parameter.grad is not None) == (name == "twice.bias")
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("names", [("never",), ("once", "never")])
def test_a_layer_that_no_loss_depends_on_is_named(names: tuple[str, ...]) -> None:
    model = _model(0)
    with pytest.raises(InvalidInput, match="layer 'never' met no gradient in 2 batches"):
        measure(model, _watch(model, *names), _batches(2), Ranks())


def test_a_loss_that_is_not_finite_is_refused_with_its_batch() -> None:
    model = _model(0)
    batches = [*_batches(1), {**_batches(1)[0], "scale": torch.tensor(torch.inf)}]
    with pytest.raises(InvalidInput, match="the loss of batch 2 is inf"):
        measure(model, _watch(model, "once"), batches, Ranks())


def test_a_warm_up_without_a_batch_is_refused() -> None:
    model = _model(0)
    with pytest.raises(InvalidInput, match="at least one batch"):
        measure(model, _watch(model, "once"), [], Ranks())
