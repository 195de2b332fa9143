"""Adapters on one layer: the mathematics, merging, and what else touches a layer."""

from __future__ import annotations

import warnings

import pytest
import torch
from support.peft_layers import D_IN, D_OUT, adapted, linear, up_group
from torch import nn

from sparsegrad_client.support import Support
from sparsegrad_shared.errors import UnsupportedModel


@pytest.mark.parametrize("scattered", [False, True])
def test_a_step_of_plain_sgd_is_the_step_on_the_weight_in_the_basis(scattered: bool) -> None:
    group, base = up_group(torch.float64), linear(torch.float64)
    indices = torch.tensor([1, 8, 9, 40]) if scattered else Support.leading(3, 2).indices(D_IN)
    layer = adapted(base, group, indices)
    x = torch.randn(4, 5, D_IN, dtype=torch.float64)
    g = torch.randn(4, 5, D_OUT, dtype=torch.float64)
    optimizer = torch.optim.SGD(layer.sparsegrad_values.parameters(), lr=0.5)
    (layer(x) * g).sum().backward()
    optimizer.step()

    # Method, section 2: G̃ = Vᵀ gᵀ x U, and W += V ΔW̃ Uᵀ.
    gradient = group.V.T @ g.reshape(-1, D_OUT).T @ x.reshape(-1, D_IN) @ group.U
    change = torch.zeros(D_OUT * D_IN, dtype=torch.float64)
    change[indices] = -0.5 * gradient.flatten()[indices]
    weight = base.weight + group.V @ change.view(D_OUT, D_IN) @ group.U.T
    torch.testing.assert_close(layer(x), nn.functional.linear(x, weight, base.bias))
    torch.testing.assert_close(layer.get_delta_weight("default"), weight - base.weight)


def test_merging_rounds_once_and_unmerging_takes_it_out_again() -> None:
    base = linear()
    layer = adapted(base, up_group(), Support.leading(3, 4).indices(D_IN))
    layer.sparsegrad_values["default"].data.normal_()
    x, before = torch.randn(5, D_IN), base.weight.clone()
    apart = layer(x)
    layer.merge(safe_merge=True)
    assert torch.equal(base.weight, before + layer.get_delta_weight("default"))
    torch.testing.assert_close(layer(x), apart)
    layer.unmerge()
    torch.testing.assert_close(base.weight, before)


def test_autocast_multiplies_in_its_type_and_gives_gradients_in_the_values_own() -> None:
    layer = adapted(linear(), up_group(), Support.leading(3, 4).indices(D_IN))
    layer.sparsegrad_values["default"].data.normal_()
    x = torch.randn(5, D_IN)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        U, _ = layer.subspace("default").directions(x.device, torch.bfloat16)
    y.float().sum().backward()
    assert (y.dtype, U.dtype) == (torch.bfloat16, torch.bfloat16)
    assert layer.sparsegrad_values["default"].grad.dtype == torch.float32
    torch.testing.assert_close(y.float(), layer(x), rtol=3e-2, atol=3e-2)


def test_torch_compile_makes_one_graph_of_it() -> None:
    layer = adapted(linear(), up_group(), Support.leading(3, 4).indices(D_IN))
    layer.sparsegrad_values["default"].data.normal_()
    x = torch.randn(5, D_IN)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))


def test_a_quantised_weight_takes_an_adapter_but_no_merge() -> None:
    torchao = pytest.importorskip("torchao.quantization")
    base = nn.Sequential(linear().requires_grad_(True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torchao has to say about its own parts
        torchao.quantize_(base, torchao.Int8WeightOnlyConfig())
    layer = adapted(base[0], up_group(), Support.leading(3, 4).indices(D_IN))
    layer.sparsegrad_values["default"].data.normal_()
    x = torch.randn(5, D_IN)
    expected = base(x) + x @ layer.get_delta_weight("default").T
    torch.testing.assert_close(layer(x), expected)
    layer(x).sum().backward()
    assert layer.sparsegrad_values["default"].grad.abs().sum() > 0
    with pytest.raises(UnsupportedModel, match=r"layer 'up'.*quantised.*nothing can be merged"):
        layer.merge()
    assert not layer.merged
