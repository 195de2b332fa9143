"""Every engine against the plain layer it replaces, in float64, for random shapes."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sparse_models import basis_of, group_basis
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from sparsegrad_client.basis import GroupBasis
from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.layers import ENGINES, SparseGradLinear
from sparsegrad_client.layers.plain import read_plain
from sparsegrad_shared.errors import UnsupportedModel

engines = pytest.mark.parametrize("engine", ENGINES)


@dataclass(frozen=True)
class Case:
    """A plain layer, a basis for it, an input and the gradient of its output."""

    plain: nn.Module
    group: GroupBasis
    x: Tensor
    g: Tensor

    def matrix(self) -> Tensor:
        weight = self.plain.weight.detach()
        return weight.T if isinstance(self.plain, Conv1D) else weight

    def sparse(self, engine: str) -> SparseGradLinear:
        config = SparseGradConfig(train_bias=True)
        plain = read_plain(copy.deepcopy(self.plain), "layer")
        return ENGINES[engine](plain, "layer", basis_of(self.group), config)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    d_in, d_out = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    full = draw(st.booleans())
    ranks = None if full else (draw(st.integers(1, d_out)), draw(st.integers(1, d_in)))
    leading = draw(st.sampled_from([(), (1,), (3,), (40,), (2, 3), (0,)]))
    seed = draw(st.integers(0, 2**16))
    kind = draw(st.sampled_from(["linear", "without bias", "conv1d"]))
    torch.manual_seed(seed)
    if kind == "conv1d":
        leading = leading or (2,)  # Conv1D itself takes no single vector
        plain: nn.Module = Conv1D(d_out, d_in)
        nn.init.normal_(plain.bias)
    else:
        plain = nn.Linear(d_in, d_out, bias=kind == "linear")
    x = torch.randn(*leading, d_in, dtype=torch.float64)
    g = torch.randn(*leading, d_out, dtype=torch.float64)
    return Case(plain.double(), group_basis("g", ("layer",), d_out, d_in, ranks=ranks), x, g)


def _run(layer: nn.Module, case: Case) -> tuple[Tensor, Tensor]:
    x = case.x.clone().requires_grad_()
    y = layer(x)
    y.backward(case.g)
    assert x.grad is not None
    return y.detach(), x.grad


@engines
@given(cases())
def test_a_layer_is_the_plain_layer_in_output_and_gradients(engine: str, case: Case) -> None:
    sparse = case.sparse(engine)
    y, dx = _run(sparse, case)
    y_plain, dx_plain = _run(case.plain, case)
    torch.testing.assert_close(y, y_plain)
    torch.testing.assert_close(dx, dx_plain)
    if case.plain.bias is not None:
        torch.testing.assert_close(sparse.bias.grad, case.plain.bias.grad)


@engines
@given(cases())
def test_the_coordinates_gradient_is_the_plain_one_in_the_basis(engine: str, case: Case) -> None:
    sparse = case.sparse(engine)
    _run(sparse, case)
    g, x = case.g.reshape(-1, case.group.d_out), case.x.reshape(-1, case.group.d_in)
    G = g.T @ x
    torch.testing.assert_close(sparse.coordinates.grad, case.group.V.T @ G @ case.group.U)


@engines
@given(cases(), st.data())
def test_added_entries_change_the_weight_by_their_expansion(
    engine: str, case: Case, data: st.DataObject
) -> None:
    sparse = case.sparse(engine)
    chosen = data.draw(st.sets(st.integers(0, sparse.size - 1)))
    indices = torch.tensor(sorted(chosen), dtype=torch.int64)
    values = torch.arange(1.0, indices.numel() + 1, dtype=torch.float64)
    change = torch.zeros(sparse.size, dtype=torch.float64).index_put((indices,), values)
    sparse.add_entries_(indices, values)
    expected = case.matrix() + case.group.V @ change.view(sparse.shape) @ case.group.U.T
    torch.testing.assert_close(sparse.dense_weight(), expected)
    found = torch.zeros_like(change).index_put((sparse.delta.indices,), sparse.delta.values)
    assert torch.equal(found, change)


@engines
@given(cases())
def test_the_merged_layer_is_plain_and_gives_the_trained_outputs(engine: str, case: Case) -> None:
    sparse = case.sparse(engine)
    sparse.add_entries_(torch.tensor([0]), torch.tensor([0.5], dtype=torch.float64))
    merged = sparse.merged()
    assert type(merged) is type(case.plain)
    assert merged.weight.shape == case.plain.weight.shape
    assert merged.weight.is_contiguous()
    if case.x.ndim > 1:
        torch.testing.assert_close(merged(case.x), sparse(case.x))


@engines
@settings(max_examples=20)
@given(cases())
def test_gradients_of_several_backward_passes_add_up(engine: str, case: Case) -> None:
    sparse = case.sparse(engine)
    _run(sparse, case)
    once = sparse.coordinates.grad.clone()
    _run(sparse, case)
    torch.testing.assert_close(sparse.coordinates.grad, 2 * once)


@engines
def test_a_frozen_bias_gets_no_gradient(engine: str) -> None:
    plain = read_plain(nn.Linear(3, 2).double(), "layer")
    basis = basis_of(group_basis("g", ("layer",), 2, 3))
    layer = ENGINES[engine](plain, "layer", basis, SparseGradConfig())
    layer(torch.ones(4, 3, dtype=torch.float64)).sum().backward()
    assert layer.bias.grad is None
    assert layer.coordinates.grad is not None


@engines
def test_a_copied_layer_trains_on_its_own_and_shares_the_basis(engine: str) -> None:
    plain = read_plain(nn.Linear(3, 2).double(), "layer")
    basis = basis_of(group_basis("g", ("layer",), 2, 3))
    layer = ENGINES[engine](plain, "layer", basis, SparseGradConfig())
    twin = copy.deepcopy(layer)
    before = layer.dense_weight().clone()
    twin.add_entries_(torch.tensor([1]), torch.tensor([1.0], dtype=torch.float64))
    assert torch.equal(layer.dense_weight(), before)
    assert not torch.equal(twin.dense_weight(), before)
    assert twin.basis is layer.basis


@engines
def test_a_layer_goes_on_from_its_state_dict(engine: str) -> None:
    torch.manual_seed(0)
    basis = basis_of(group_basis("g", ("layer",), 4, 3, ranks=(2, 2)))
    layers = [
        ENGINES[engine](
            read_plain(nn.Linear(3, 4).double(), "layer"), "layer", basis, SparseGradConfig()
        )
        for _ in range(2)
    ]
    layers[0].add_entries_(torch.tensor([0, 3]), torch.tensor([1.0, -1.0], dtype=torch.float64))
    layers[1].load_state_dict(layers[0].state_dict())
    assert torch.equal(layers[1].dense_weight(), layers[0].dense_weight())
    assert torch.equal(layers[1].delta.indices, layers[0].delta.indices)
    x = torch.randn(5, 3, dtype=torch.float64)
    assert torch.equal(layers[1](x), layers[0](x))


@engines
def test_a_weight_turned_to_half_precision_takes_no_steps(engine: str) -> None:
    basis = basis_of(group_basis("g", ("layer",), 4, 3))
    plain = read_plain(nn.Linear(3, 4), "layer")
    layer = ENGINES[engine](plain, "layer", basis, SparseGradConfig()).bfloat16()
    with pytest.raises(UnsupportedModel, match=r"'layer'.*bfloat16.*model\.float\(\)"):
        layer.add_entries_(torch.tensor([0]), torch.tensor([1.0]))
