"""The product with a changed weight: values and gradients of the two-step sum, for less."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.sparse_models import basis_of, group_basis
from torch import Tensor, nn

from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.layers import AdapterLinear
from sparsegrad_client.layers.changed import changed_product, one_product_is_cheaper
from sparsegrad_client.layers.plain import read_plain
from sparsegrad_client.support import Support

sizes = st.integers(1, 6)


@given(sizes, sizes, sizes, sizes, st.booleans(), st.integers(0, 2**16))
def test_values_and_gradients_are_those_of_the_plain_sum(
    count: int, d_out: int, d_in: int, r: int, has_bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64)

    W = drawn(d_out, d_in)
    leaves = {
        "x": drawn(2, count, d_in),
        "down": drawn(d_in, r),
        "up": drawn(r, d_out),
        "bias": drawn(d_out),
    }
    g = drawn(2, count, d_out)
    results = []
    for fused in (True, False):
        x, down, up, bias = own = [leaf.clone().requires_grad_() for leaf in leaves.values()]
        if fused:
            y = changed_product(x, W, bias if has_bias else None, down, up)
        else:
            y = nn.functional.linear(x, W, bias if has_bias else None) + x @ down @ up
        trained = own if has_bias else own[:3]
        results.append([y, *torch.autograd.grad(y, trained, g)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_few_tokens_go_beside_the_weight_and_many_through_the_sum() -> None:
    assert not one_product_is_cheaper(1, 1536, 384)
    assert not one_product_is_cheaper(307, 1536, 384)
    assert one_product_is_cheaper(308, 1536, 384)


@pytest.mark.parametrize("shape", [(8, 2), (2, 6)])
def test_a_layer_gives_the_same_either_way(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    plain = read_plain(nn.Linear(7, 9).double(), "layer")
    basis = basis_of(group_basis("g", ("layer",), 9, 7))
    layer = AdapterLinear(plain, "layer", basis, SparseGradConfig(), Support.leading(*shape))
    nn.init.normal_(layer.coordinates)
    rows = torch.randn(40, 7, dtype=torch.float64, requires_grad=True)
    g = torch.randn(40, 9, dtype=torch.float64)
    found = []
    for parts in (rows.split(40), rows.split(1)):  # forty tokens at once; one after the other
        y = torch.cat([layer(part) for part in parts])
        found.append([y, *torch.autograd.grad(y, [rows, layer.coordinates], g)])
    assert one_product_is_cheaper(40, 9, 7)
    assert not one_product_is_cheaper(1, 9, 7)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_the_changed_weight_is_not_kept_for_the_backward_pass() -> None:
    W, x = torch.randn(30, 20), torch.randn(100, 20, requires_grad=True)
    down, up = torch.randn(20, 2), torch.randn(2, 30, requires_grad=True)
    known = {tensor.data_ptr() for tensor in (W, x, down, up)}
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in known:
            kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        changed_product(x, W, None, down, up)
    assert kept == [100 * 2]
