"""What is special to the folded engine: a plain model's weight, memory and state."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.saved import saved_bytes
from support.sparse_models import basis_of, group_basis
from torch import nn

from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.layers import FoldedLinear
from sparsegrad_client.layers.plain import read_plain

D_OUT, D_IN = 6, 4


def _layer(plain: nn.Linear, *, train_bias: bool = False) -> FoldedLinear:
    basis = basis_of(group_basis("g", ("layer",), D_OUT, D_IN, dtype=plain.weight.dtype))
    return FoldedLinear(
        read_plain(plain, "layer"), "layer", basis, SparseGradConfig(train_bias=train_bias)
    )


def _linear(dtype: torch.dtype = torch.float64) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(D_IN, D_OUT, dtype=dtype)


def _handle_bytes(layer: FoldedLinear) -> int:
    return layer.coordinates.untyped_storage().nbytes()


def test_the_weight_is_the_plain_layers_own_parameter() -> None:
    plain = _linear()
    layer = _layer(plain)
    assert layer.weight is plain.weight
    assert layer.merged().weight is plain.weight


def test_the_coordinates_take_no_memory_however_the_layer_is_moved() -> None:
    layer = _layer(_linear())
    coordinates = layer.coordinates
    assert _handle_bytes(layer) == 8
    assert _handle_bytes(copy.deepcopy(layer)) == 8
    assert _handle_bytes(layer.float()) == 4
    assert _handle_bytes(layer.to("meta")) == 4
    assert layer.coordinates.shape == (D_OUT, D_IN)
    assert _layer(_linear()).double().coordinates.requires_grad
    assert isinstance(coordinates, nn.Parameter)


def test_converting_keeps_the_parameter_that_an_optimizer_holds() -> None:
    layer = _layer(_linear())
    coordinates = layer.coordinates
    layer.float()
    assert layer.coordinates is coordinates
    assert layer.coordinates.dtype == torch.float32


def test_the_state_dict_is_the_plain_layers_and_the_delta() -> None:
    plain = _linear()
    expected = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    state = _layer(plain).state_dict()
    assert set(state) == {"weight", "bias", "changes.indices", "changes.values"}
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor)


@pytest.mark.parametrize("make", [torch.optim.AdamW, torch.optim.SGD])
def test_another_optimizer_fails_aloud_instead_of_training_nothing(
    make: Callable[..., Any],
) -> None:
    layer = _layer(_linear())
    layer(torch.ones(2, D_IN, dtype=torch.float64)).sum().backward()
    with pytest.raises(RuntimeError, match="single memory location"):
        make([layer.coordinates], lr=0.1).step()


@pytest.mark.parametrize("autocast", [False, True])
def test_backward_holds_no_more_than_the_plain_layers(autocast: bool) -> None:
    plain = _linear(torch.float32)
    layer = _layer(copy.deepcopy(plain))
    x = torch.randn(50, D_IN, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        ours, theirs = saved_bytes(layer, x), saved_bytes(plain, x)
    assert 0 < ours <= theirs


def test_what_needs_no_gradient_is_not_held() -> None:
    layer = _layer(_linear())
    layer.coordinates.requires_grad_(False)
    assert saved_bytes(layer, torch.ones(3, D_IN, dtype=torch.float64, requires_grad=True)) == 0


def test_under_autocast_it_computes_as_the_plain_layer_does() -> None:
    plain = _linear(torch.float32)
    layer = _layer(copy.deepcopy(plain), train_bias=True)
    x = torch.randn(7, D_IN)
    results = []
    for module in (plain, layer):
        leaf = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            y = module(leaf)
        y.float().square().sum().backward()
        assert leaf.grad is not None
        assert module.bias.grad is not None
        results.append((y, leaf.grad, module.bias.grad))
    for ours, theirs in zip(results[1], results[0], strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs)
    U, V = layer.group.U, layer.group.V
    assert layer.coordinates.grad.dtype == torch.float32
    expected = V.T @ plain.weight.grad @ U
    error = (layer.coordinates.grad - expected).norm() / expected.norm()
    assert error < 2e-2  # three products of bfloat16 (relative rounding 2⁻⁸ each)


def test_an_input_of_another_type_is_refused_by_the_layers_name() -> None:
    with pytest.raises(TypeError, match=r"layer 'layer'.*float64.*got torch\.float32"):
        _layer(_linear())(torch.ones(2, D_IN))


def test_a_step_between_forward_and_backward_is_caught() -> None:
    layer = _layer(_linear())
    x = torch.ones(2, D_IN, dtype=torch.float64, requires_grad=True)
    loss = layer(x).sum()
    layer.add_entries_(torch.tensor([0]), torch.tensor([1.0], dtype=torch.float64))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_second_derivatives_are_refused_instead_of_wrong() -> None:
    layer = _layer(_linear())
    x = torch.randn(2, D_IN, dtype=torch.float64, requires_grad=True)
    (dx,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dx.sum().backward()


def test_clipping_and_loss_scaling_reach_the_coordinates_gradient() -> None:
    layer = _layer(_linear(torch.float32))
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    scaler.scale(layer(torch.ones(2, D_IN)).sum()).backward()
    scaled = layer.coordinates.grad.clone()
    scaler.unscale_(optimizer)
    torch.testing.assert_close(layer.coordinates.grad, scaled / 4)
    norm = torch.nn.utils.clip_grad_norm_(layer.parameters(), 1e-3)
    torch.testing.assert_close(norm, scaled.norm() / 4)
    torch.testing.assert_close(layer.coordinates.grad.norm(), torch.tensor(1e-3), rtol=1e-2, atol=0)
