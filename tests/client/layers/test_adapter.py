"""What is special to the adapter engine: its base, its memory, and a support that moves."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sparse_models import (
    ARCHITECTURES,
    basis_of,
    batch_for,
    group_basis,
    random_basis,
    tiny_bert,
)
from torch import Tensor, nn

from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.convert import merge, sparsify
from sparsegrad_client.layers import AdapterLinear, FoldedLinear, ReferenceLinear, sparse_layers
from sparsegrad_client.layers.plain import read_plain
from sparsegrad_client.optim import build_optimizer
from sparsegrad_client.support import Support
from sparsegrad_shared.errors import ShapeMismatch, UnsupportedModel

D_OUT, D_IN = 9, 7
ADAPTER = SparseGradConfig(engine="adapter")


def _layer(
    support: Support | None = None, dtype: torch.dtype = torch.float64, kind: type = AdapterLinear
) -> AdapterLinear:
    torch.manual_seed(0)
    plain = read_plain(nn.Linear(D_IN, D_OUT).to(dtype), "layer")
    basis = basis_of(group_basis("g", ("layer",), D_OUT, D_IN))
    layer = kind(plain, "layer", basis, SparseGradConfig(), support)
    assert isinstance(layer, kind)
    return layer


@st.composite
def supports(draw: st.DrawFn) -> Support:
    sides = [sorted(draw(st.sets(st.integers(0, size - 1), min_size=1))) for size in (D_OUT, D_IN)]
    return Support(*(torch.tensor(side) for side in sides))


@given(supports(), st.integers(0, 2**16))
def test_the_output_is_that_of_the_changed_weight(support: Support, seed: int) -> None:
    layer = _layer(support)
    torch.manual_seed(seed)
    nn.init.normal_(layer.coordinates)
    W, U, V = layer.base.weight, layer.group.U, layer.group.V
    S = torch.zeros(D_OUT, D_IN, dtype=torch.float64)
    S[support.rows[:, None], support.columns] = layer.coordinates.detach()
    x = torch.randn(3, D_IN, dtype=torch.float64)
    expected = nn.functional.linear(x, W + V @ S @ U.T, layer.bias)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.merged()(x), expected)


@settings(max_examples=25)
@given(supports(), st.integers(1, 5))
def test_all_engines_give_a_block_the_same_gradients(support: Support, batch: int) -> None:
    x, g = (torch.randn(batch, 4, size, dtype=torch.float64) for size in (D_IN, D_OUT))
    found = []
    for kind in (ReferenceLinear, FoldedLinear, AdapterLinear):
        layer, into = _layer(support, kind=kind), x.clone().requires_grad_()
        layer(into).backward(g)
        found.append((into.grad, layer.coordinates.grad))
    for engine in found[1:]:
        for gradient, expected in zip(engine, found[0], strict=True):
            torch.testing.assert_close(gradient, expected)


def _saved_values(layer: nn.Module, x: Tensor) -> int:
    """How many values the backward pass of a layer keeps, its parameters and bases left out."""
    known = {id(t.untyped_storage()) for t in [*layer.parameters(), *layer.buffers()]}
    known |= {
        tensor.untyped_storage().data_ptr()
        for part in (getattr(layer, "part", None),)
        if part
        for tensor in part.on(x.device, x.dtype)
    }
    known |= {p.untyped_storage().data_ptr() for p in layer.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes() // tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(x)
    return sum(kept.values())


def test_the_small_projection_is_kept_and_not_the_input() -> None:
    tokens, columns = 50, 2
    x = torch.randn(tokens, D_IN, dtype=torch.float64, requires_grad=True)
    layer = _layer(Support.leading(D_OUT, columns))
    assert _saved_values(layer, x) <= tokens * columns + D_OUT * columns
    folded = _layer(Support.leading(D_OUT, columns), kind=FoldedLinear)
    assert _saved_values(folded, x) <= tokens * columns


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_thousand_small_steps_on_a_half_precision_weight_add_up(dtype: torch.dtype) -> None:
    layer = _layer(dtype=dtype)
    before = layer.base.weight.clone()
    optimizer = build_optimizer(nn.ModuleDict({"layer": layer}), lr=1e-6)
    x = torch.ones(2, D_IN, dtype=dtype)
    for _ in range(1000):
        layer(x).float().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    moved = layer.coordinates.detach()
    torch.testing.assert_close(moved.abs(), torch.full_like(moved, 1e-3), rtol=1e-2, atol=1e-9)
    assert torch.equal(layer.base.weight, before)
    # The same steps on the weight itself are all lost.
    lost = torch.ones((), dtype=dtype)
    for _ in range(1000):
        lost = lost - 1e-6
    assert lost == 1


def test_a_half_precision_layer_computes_in_its_own_type_and_merges_to_it() -> None:
    layer = _layer(dtype=torch.bfloat16)
    nn.init.normal_(layer.coordinates)
    assert layer.coordinates.dtype == torch.float32
    x = torch.randn(4, D_IN, dtype=torch.bfloat16)
    assert layer(x).dtype == torch.bfloat16
    merged = layer.merged()
    assert isinstance(merged, nn.Linear)
    assert merged.weight.dtype == torch.bfloat16
    torch.testing.assert_close(merged(x), layer(x), rtol=0.1, atol=0.1)


def test_a_half_precision_model_is_trained_by_adapters_without_being_asked() -> None:
    model = tiny_bert().bfloat16()
    basis = random_basis(model, ARCHITECTURES["bert"][1])
    sparsify(model, basis)
    layers = list(sparse_layers(model).values())
    assert all(isinstance(layer, AdapterLinear) for layer in layers)
    batch = batch_for(model)
    optimizer = build_optimizer(model)
    losses = []
    for _ in range(20):
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all(bool(layer.delta.values.any()) for layer in layers)


def test_a_support_that_reaches_beyond_the_basis_is_refused_by_name() -> None:
    with pytest.raises(ShapeMismatch, match=r"layer 'layer'.*9 x 7.*row 10 and column 6"):
        _layer(Support.leading(11, 7))


@pytest.mark.parametrize("kind", [ReferenceLinear, FoldedLinear, AdapterLinear])
def test_a_move_changes_no_output_and_keeps_what_was_learned(kind: type) -> None:
    first, second = Support.leading(3, 2), Support(torch.tensor([1, 5]), torch.tensor([0, 4, 6]))
    layer = _layer(first, kind=kind)
    x = torch.randn(5, D_IN, dtype=torch.float64)
    layer.add_entries_(torch.arange(6), torch.arange(1.0, 7.0, dtype=torch.float64))
    before, learned = layer(x).detach(), copy.deepcopy(layer.delta)
    layer.move_(second)
    assert layer.coordinates.shape == (2, 3)
    torch.testing.assert_close(layer(x), before)
    layer.add_entries_(torch.tensor([0]), torch.tensor([10.0], dtype=torch.float64))
    delta = torch.zeros(D_OUT * D_IN, dtype=torch.float64)
    delta[learned.indices] = learned.values
    delta[1 * D_IN + 0] += 10.0
    found = torch.zeros_like(delta).index_put((layer.delta.indices,), layer.delta.values)
    torch.testing.assert_close(found, delta)
    change = layer.group.V @ delta.view(D_OUT, D_IN) @ layer.group.U.T
    plain = _layer().base.weight.detach()
    torch.testing.assert_close(layer.dense_weight(), plain + change)


@pytest.mark.parametrize("kind", [ReferenceLinear, FoldedLinear, AdapterLinear])
def test_a_move_that_is_refused_changes_nothing(kind: type) -> None:
    layer = _layer(Support.leading(3, 2), kind=kind)
    layer.add_entries_(torch.arange(6), torch.arange(1.0, 7.0, dtype=torch.float64))
    before = layer.dense_weight().clone()
    with pytest.raises(ShapeMismatch, match="layer 'layer'"):
        layer.move_(Support.leading(D_OUT + 1, 2))
    assert torch.equal(layer.dense_weight(), before)
    assert layer.coordinates.shape == (3, 2)


@pytest.mark.parametrize("kind", [ReferenceLinear, FoldedLinear, AdapterLinear])
def test_a_gradient_of_the_block_that_was_left_is_dropped(kind: type) -> None:
    layer = _layer(Support.leading(3, 2), kind=kind)
    layer(torch.ones(2, D_IN, dtype=torch.float64)).sum().backward()
    layer.move_(Support(torch.tensor([4, 5, 6]), torch.tensor([2, 3])))
    assert layer.coordinates.grad is None


def test_moments_of_entries_that_a_move_left_are_there_when_it_comes_back() -> None:
    layer = _layer(Support.leading(2, 2))
    optimizer = build_optimizer(nn.ModuleDict({"layer": layer}), lr=0.1)

    def step(gradient: float) -> None:
        layer.coordinates.grad = torch.full_like(layer.coordinates, gradient)
        optimizer.step()
        optimizer.zero_grad()

    step(1.0)
    layer.move_(Support(torch.tensor([4, 5]), torch.tensor([4, 5])))
    step(2.0)
    state = optimizer.state[layer.coordinates]
    assert state["indices"].tolist() == [0, 1, 7, 8, 32, 33, 39, 40]
    torch.testing.assert_close(state["exp_avg"][:4], torch.full((4,), 0.1, dtype=torch.float64))
    torch.testing.assert_close(state["exp_avg"][4:], torch.full((4,), 0.2, dtype=torch.float64))
    layer.move_(Support.leading(2, 2))
    step(0.0)
    torch.testing.assert_close(state["exp_avg"][:4], torch.full((4,), 0.09, dtype=torch.float64))


def test_a_block_beside_a_weight_that_cannot_change_does_not_move() -> None:
    layer = _layer(Support.leading(2, 2), dtype=torch.bfloat16)
    with pytest.raises(UnsupportedModel, match=r"layer 'layer'.*bfloat16.*can move where"):
        layer.move_(Support.leading(3, 3))


def test_merging_a_model_gives_the_adapters_outputs() -> None:
    model = tiny_bert()
    sparsify(model, random_basis(model, ARCHITECTURES["bert"][1]), ADAPTER)
    for layer in sparse_layers(model).values():
        nn.init.normal_(layer.coordinates, std=0.1)
    batch = batch_for(model)
    expected = model(**batch).logits
    merge(model)
    assert not sparse_layers(model)
    torch.testing.assert_close(model(**batch).logits, expected)
