"""Masked Adam against its dense reference and against torch's SparseAdam."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sparse_models import basis_of, group_basis
from torch import Tensor, nn

from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.layers import ReferenceLinear, SparseGradLinear
from sparsegrad_client.layers.plain import read_plain
from sparsegrad_client.optim import MaskedAdam, MaskedAdamReference
from sparsegrad_client.selection import largest_entries_reference
from sparsegrad_client.support import Support
from sparsegrad_shared.errors import InvalidInput, NonFiniteGradient

SHAPE = (6, 5)
SETTINGS = {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-6}


def _layer(
    entries: int,
    name: str = "layer",
    dtype: torch.dtype = torch.float64,
    *,
    feedback: bool = False,
) -> SparseGradLinear:
    basis = basis_of(group_basis("g", (name,), *SHAPE, dtype=dtype))
    torch.manual_seed(0)
    plain = nn.Linear(SHAPE[1], SHAPE[0], dtype=dtype)
    config = SparseGradConfig(entries=entries, error_feedback=feedback)
    return ReferenceLinear(read_plain(plain, name), name, basis, config)


def _gradients(seed: int, steps: int) -> list[Tensor]:
    """Gradients whose large entries move about; some are zero, some all zero."""
    generator = torch.Generator().manual_seed(seed)
    gradients = torch.randn(steps, *SHAPE, generator=generator, dtype=torch.float64).pow(3)
    gradients[torch.rand(gradients.shape, generator=generator) < 0.3] = 0
    gradients[::7] = 0
    return list(gradients)


def _dense(state: dict[str, Tensor], moment: str) -> Tensor:
    if "remainder" in state:
        return state[moment]
    dense = torch.zeros(SHAPE, dtype=torch.float64)
    dense.view(-1)[state["indices"]] = state[moment]
    return dense


def _remainder(optimizer: MaskedAdam, layer: SparseGradLinear) -> Tensor:
    """What the steps so far have left; a copy."""
    state = optimizer.state.get(layer.coordinates, {})
    return state["remainder"].clone() if "remainder" in state else torch.zeros(SHAPE)


@settings(max_examples=25)
@given(st.integers(0, 2**16), st.integers(1, 30), st.integers(1, 40), st.booleans())
def test_it_follows_the_dense_reference_in_parameters_and_state(
    seed: int, entries: int, steps: int, feedback: bool
) -> None:
    layer = _layer(entries, feedback=feedback)
    dense = nn.Parameter(layer.coordinates.detach().clone())
    fast = MaskedAdam([layer], **SETTINGS)
    slow = MaskedAdamReference([dense], entries, **SETTINGS, error_feedback=feedback)
    touched = torch.zeros(SHAPE, dtype=torch.bool)
    for gradient in _gradients(seed, steps):
        layer.coordinates.grad, dense.grad = gradient.clone(), gradient.clone()
        selected_from = gradient + _remainder(fast, layer)
        fast.step()
        slow.step()
        touched.view(-1)[largest_entries_reference(selected_from, entries)] = True
        torch.testing.assert_close(layer.coordinates, dense)
        state, expected = fast.state[layer.coordinates], slow.state[dense]
        assert state["step"] == expected["step"]
        for moment in ("exp_avg", "exp_avg_sq"):
            torch.testing.assert_close(_dense(state, moment), expected[moment])
        assert fast.touched_entries() == int(touched.sum())
        if feedback:
            # Of a step that keeps every entry nothing is left, and nothing is held.
            left = state["remainder"] if layer.feeds_back else torch.zeros_like(gradient)
            torch.testing.assert_close(left, expected["remainder"])


@given(st.integers(0, 2**16), st.integers(1, 29), st.integers(1, 40))
def test_error_feedback_loses_nothing_of_any_gradient(seed: int, entries: int, steps: int) -> None:
    layer = _layer(entries, feedback=True)
    optimizer = MaskedAdam([layer], **SETTINGS)
    came, kept = torch.zeros(2, *SHAPE, dtype=torch.float64)
    for gradient in _gradients(seed, steps):
        layer.coordinates.grad = gradient.clone()
        selected_from = gradient + _remainder(optimizer, layer)
        optimizer.step()
        assert torch.equal(layer.coordinates.grad, gradient)
        selected = largest_entries_reference(selected_from, entries)
        came += gradient
        kept.view(-1)[selected] += selected_from.view(-1)[selected]
    torch.testing.assert_close(kept + optimizer.state[layer.coordinates]["remainder"], came)


@settings(max_examples=10)
@given(st.integers(0, 2**16), st.integers(1, 30))
def test_it_is_sparse_adam_given_the_kept_entries(seed: int, entries: int) -> None:
    layer = _layer(entries)
    oracle_parameter = nn.Parameter(layer.coordinates.detach().clone())
    ours = MaskedAdam([layer], **SETTINGS)
    oracle = torch.optim.SparseAdam([oracle_parameter], **SETTINGS)
    for gradient in _gradients(seed, 50):
        kept = largest_entries_reference(gradient, entries)
        places = torch.stack([kept // SHAPE[1], kept % SHAPE[1]])
        layer.coordinates.grad = gradient.clone()
        oracle_parameter.grad = torch.sparse_coo_tensor(
            places, gradient.flatten()[kept], SHAPE, check_invariants=True
        )
        ours.step()
        oracle.step()
        torch.testing.assert_close(layer.coordinates, oracle_parameter)
    state, expected = ours.state[layer.coordinates], oracle.state[oracle_parameter]
    assert state["step"] == expected["step"]
    for moment in ("exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(_dense(state, moment), expected[moment])


@pytest.mark.parametrize("feedback", [False, True])
@pytest.mark.parametrize("through_a_file", [False, True])
def test_a_saved_state_goes_on_exactly(through_a_file: bool, feedback: bool) -> None:
    layer = _layer(entries=4, feedback=feedback)
    optimizer = MaskedAdam([layer], **SETTINGS)
    gradients = _gradients(seed=3, steps=20)
    for gradient in gradients[:10]:
        layer.coordinates.grad = gradient.clone()
        optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    if through_a_file:
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
    twin = copy.deepcopy(layer)
    resumed = MaskedAdam([twin], lr=1.0)
    resumed.load_state_dict(state)
    for gradient in gradients[10:]:
        layer.coordinates.grad, twin.coordinates.grad = gradient.clone(), gradient.clone()
        optimizer.step()
        resumed.step()
    assert torch.equal(layer.coordinates, twin.coordinates)
    assert torch.equal(layer.delta.values, twin.delta.values)
    ours, theirs = optimizer.state[layer.coordinates], resumed.state[twin.coordinates]
    for key, value in ours.items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(theirs[key]))


@pytest.mark.parametrize("feedback", [False, True])
def test_a_state_of_the_other_kind_of_feedback_is_refused(feedback: bool) -> None:
    layer, other = _layer(4, feedback=feedback), _layer(4, feedback=not feedback)
    optimizer = MaskedAdam([layer])
    layer.coordinates.grad = torch.ones(SHAPE, dtype=torch.float64)
    optimizer.step()
    said = f"'layer': .*saved with error_feedback={feedback}.*layer has error_feedback"
    with pytest.raises(InvalidInput, match=said):
        MaskedAdam([other]).load_state_dict(optimizer.state_dict())


def test_indices_beyond_a_floats_precision_survive_saving() -> None:
    # float32 has no 2²⁴ + 1, and torch casts an optimizer's state to its parameter's type.
    layer = _layer(entries=1, dtype=torch.float32)
    assert not layer.feeds_back
    optimizer = MaskedAdam([layer])
    layer.coordinates.grad = torch.ones(SHAPE)
    optimizer.step()
    state = optimizer.state_dict()
    index = torch.tensor([2**24 + 1])
    state["state"][0]["indices"] = index
    optimizer.load_state_dict(state)
    assert torch.equal(optimizer.state[layer.coordinates]["indices"], index)


@pytest.mark.parametrize("feedback", [False, True])
def test_a_bad_gradient_is_refused_by_name_and_changes_no_layer(feedback: bool) -> None:
    layers = [_layer(2, "good", feedback=feedback), _layer(2, "bad", feedback=feedback)]
    optimizer = MaskedAdam(layers)
    before = [layer.coordinates.detach().clone() for layer in layers]
    layers[0].coordinates.grad = torch.ones(SHAPE, dtype=torch.float64)
    layers[1].coordinates.grad = torch.full(SHAPE, float("nan"), dtype=torch.float64)
    with pytest.raises(NonFiniteGradient, match="bad: 30 of 30 entries"):
        optimizer.step()
    for layer, weight in zip(layers, before, strict=True):
        assert torch.equal(layer.coordinates, weight)
        assert len(layer.delta) == 0
    assert optimizer.touched_entries() == 0


def test_a_layer_without_gradient_is_left_alone() -> None:
    layers = [_layer(2, "used"), _layer(2, "unused")]
    optimizer = MaskedAdam(layers)
    layers[0].coordinates.grad = torch.ones(SHAPE, dtype=torch.float64)
    optimizer.step()
    assert len(layers[0].delta) == 2
    assert len(layers[1].delta) == 0


def test_a_step_evaluates_a_closure_and_gives_its_loss() -> None:
    layer = _layer(2)
    optimizer = MaskedAdam([layer])
    x = torch.ones(3, SHAPE[1], dtype=torch.float64)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = layer(x).square().sum()
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert first > closure()


@pytest.mark.parametrize(
    ("settings_given", "said"),
    [
        ({"lr": -1.0}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"eps": 0.0}, "eps"),
    ],
)
def test_settings_out_of_range_are_refused(settings_given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        MaskedAdam([_layer(1)], **settings_given)


def test_no_layers_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one SparseGradLinear"):
        MaskedAdam([])


@pytest.mark.parametrize("feedback", [False, True])
def test_after_a_gradient_that_is_not_finite_the_next_step_is_as_if_it_had_not_been(
    *, feedback: bool
) -> None:
    def trained(*, spoilt: bool) -> list[Tensor]:
        layers = [_layer(5, "a", feedback=feedback), _layer(5, "b", feedback=feedback)]
        optimizer = MaskedAdam(layers, **SETTINGS)
        for gradient in _gradients(3, 6):
            if spoilt:
                layers[0].coordinates.grad = gradient.clone()
                layers[1].coordinates.grad = torch.full_like(gradient, torch.nan)
                with pytest.raises(NonFiniteGradient, match="b: "):
                    optimizer.step()
            for layer in layers:
                layer.coordinates.grad = gradient.clone()
            optimizer.step()
        return [layer.coordinates.detach() for layer in layers]

    for one, other in zip(trained(spoilt=True), trained(spoilt=False), strict=True):
        assert torch.equal(one, other)


def test_a_layer_that_moves_to_a_block_goes_on_with_its_moments() -> None:
    layer, other = _layer(5, feedback=True), _layer(5, feedback=True)
    optimizers = [MaskedAdam([each], **SETTINGS) for each in (layer, other)]
    for gradient in _gradients(3, 6):
        for each, optimizer in zip((layer, other), optimizers, strict=True):
            each.coordinates.grad = gradient.clone()
            optimizer.step()
    moments = optimizers[1].state[other.coordinates]
    block = Support(torch.tensor([0, 2, 5]), torch.tensor([1, 4]))
    layer.move_(block)
    gradient = torch.ones(3, 2, dtype=torch.float64)
    layer.coordinates.grad = gradient.clone()
    optimizers[0].step()
    state = optimizers[0].state[layer.coordinates]
    assert "remainder" not in state
    expected = moments["exp_avg"].clone()
    expected[block.rows[:, None], block.columns] *= 0.8
    expected[block.rows[:, None], block.columns] += 0.2
    torch.testing.assert_close(_dense(state, "exp_avg"), expected)


def test_parameters_that_come_later_are_refused() -> None:
    optimizer = MaskedAdam([_layer(5)], **SETTINGS)
    with pytest.raises(InvalidInput, match="does not take parameters later"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    assert len(optimizer.param_groups) == 1
