"""Every engine under PyTorch's tools, and what it holds in memory there."""

from __future__ import annotations

import copy
import gc
from collections import Counter
from typing import Any

import pytest
import torch
from support.same import assert_same
from support.saved import saved_bytes
from support.sparse_models import BERT_GROUPS, batch_for, random_basis, tiny_bert
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sparsegrad_client.basis import Basis
from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.convert import sparsify
from sparsegrad_client.layers import ENGINES, sparse_layers
from sparsegrad_client.optim import MaskedAdam, build_optimizer

D_IN, D_OUT = 16, 24  # of tiny_bert's intermediate layers
BLOCK = (5, 3)
DYNAMIC: dict[str, Any] = {"entries": 9}
LEADING: dict[str, Any] = {"block": BLOCK}

cases = pytest.mark.parametrize(
    ("engine", "size"),
    [
        pytest.param(engine, size, id=f"{engine}-{next(iter(size))}")
        for engine in ENGINES
        for size in (DYNAMIC, LEADING)
        if engine != "adapter" or size is LEADING
    ],
)


def _basis(model: nn.Module) -> Basis:
    return random_basis(model, BERT_GROUPS, dtype=next(model.parameters()).dtype)


def _sparse(
    engine: str, size: dict[str, Any], dtype: torch.dtype = torch.float32, **settings: Any
) -> nn.Module:
    model = tiny_bert().to(dtype)
    config = SparseGradConfig(engine=engine, **size, **settings)  # type: ignore[arg-type]
    return sparsify(model, _basis(model), config)


def _backward(model: nn.Module, seed: int = 0) -> None:
    model(**batch_for(model, seed)).loss.backward()


def _gradients(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


@cases
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_gradient_checkpointing_gives_the_same_gradients(
    engine: str, size: dict[str, Any], use_reentrant: bool
) -> None:
    up, down = list(sparse_layers(_sparse(engine, size)).values())[:2]
    mlp = nn.Sequential(up, nn.GELU(), down)
    x = torch.randn(4, 7, D_IN, requires_grad=True)
    mlp(x).square().sum().backward()
    expected = [x.grad, up.coordinates.grad, down.coordinates.grad]
    x.grad = up.coordinates.grad = down.coordinates.grad = None
    checkpoint(mlp, x, use_reentrant=use_reentrant).square().sum().backward()
    assert_same([x.grad, up.coordinates.grad, down.coordinates.grad], expected)


@cases
@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
def test_autocast_computes_low_and_keeps_gradients_high(
    engine: str, size: dict[str, Any], low: torch.dtype
) -> None:
    exact, cast = _sparse(engine, size), _sparse(engine, size)
    _backward(exact)
    with torch.autocast("cpu", low):
        output = cast(**batch_for(cast))
    assert output.logits.dtype == low
    output.loss.backward()
    expected = _gradients(exact)
    for name, gradient in _gradients(cast).items():
        assert gradient.dtype == torch.float32
        error = (gradient - expected[name]).norm() / expected[name].norm()
        assert error < 0.1, name  # some ten products of 2⁻⁸ relative rounding each


def _train(model: nn.Module, scaler: torch.amp.GradScaler | None, steps: int) -> None:
    optimizer = build_optimizer(model, lr=1e-2)
    for seed in range(steps):
        loss = model(**batch_for(model, seed)).loss
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        optimizer.zero_grad()


@cases
def test_loss_scaling_changes_nothing(engine: str, size: dict[str, Any]) -> None:
    plain, scaled = _sparse(engine, size), _sparse(engine, size)
    _train(plain, None, 4)
    _train(scaled, torch.amp.GradScaler("cpu", init_scale=2.0**10), 4)  # exact: powers of two
    assert_same(scaled.state_dict(), plain.state_dict())


@cases
def test_the_scaler_skips_a_step_that_overflows(engine: str, size: dict[str, Any]) -> None:
    model = _sparse(engine, size)
    before = copy.deepcopy(model.state_dict())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    with torch.autocast("cpu", torch.float16):
        _train(model, scaler, 1)
    assert_same(model.state_dict(), before)
    assert scaler.get_scale() == 2.0**39


@cases
def test_gradient_norms_are_those_of_the_reference(engine: str, size: dict[str, Any]) -> None:
    reference, ours = (
        _sparse("reference", size, torch.float64),
        _sparse(engine, size, torch.float64),
    )
    norms = []
    for model in (reference, ours):
        _backward(model)
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), 1e-3))
        clipped = torch.stack([gradient.norm() for gradient in _gradients(model).values()]).norm()
        torch.testing.assert_close(
            clipped, torch.tensor(1e-3, dtype=torch.float64), rtol=1e-2, atol=0
        )
    torch.testing.assert_close(norms[1], norms[0])


@cases
def test_moments_exist_for_touched_entries_only(engine: str, size: dict[str, Any]) -> None:
    model, steps = _sparse(engine, size, error_feedback=False), 3
    optimizer = _stepped(model, steps)
    layers = sparse_layers(model).values()
    held = sum(_elements(optimizer.state[layer.coordinates]) for layer in layers)
    touched = sum(len(layer.delta) for layer in layers)
    assert held == 3 * touched  # a position and two moments each
    assert 0 < touched <= steps * sum(layer.entries for layer in layers)
    assert touched < sum(layer.group.r_out * layer.group.r_in for layer in layers)


@pytest.mark.parametrize("engine", ["reference", "folded"])
def test_with_error_feedback_moments_exist_for_all_and_count_where_a_step_kept(
    engine: str,
) -> None:
    model = _sparse(engine, DYNAMIC)
    optimizer = _stepped(model, 3)
    layers = sparse_layers(model).values()
    held = sum(_elements(optimizer.state[layer.coordinates]) for layer in layers)
    assert held == 3 * sum(layer.size for layer in layers)  # two moments and a remainder each
    assert optimizer.touched_entries() == sum(layer.touched for layer in layers) < held / 3


def _stepped(model: nn.Module, steps: int) -> MaskedAdam:
    optimizer = build_optimizer(model, lr=1e-2)
    for seed in range(steps):
        _backward(model, seed)
        optimizer.step()
        optimizer.zero_grad()
    assert isinstance(optimizer, MaskedAdam)
    return optimizer


def _elements(state: dict[str, Any]) -> int:
    return sum(value.numel() for value in state.values() if isinstance(value, Tensor))


def _square() -> dict[int, Tensor]:
    """Every tensor of d_out × d_out in the process, by its storage."""
    gc.collect()
    return {
        tensor.untyped_storage().data_ptr(): tensor
        for tensor in gc.get_objects()
        if type(tensor) is Tensor and tensor.shape == (D_OUT, D_OUT)
    }


def test_bases_are_held_once_for_all_layers_and_models() -> None:
    before = _square()
    plain = tiny_bert().float()
    basis = _basis(plain)
    config = SparseGradConfig(engine="folded", **DYNAMIC)
    models = [sparsify(copy.deepcopy(plain), basis, config) for _ in range(2)]
    for model in models:
        _backward(model)
        with torch.autocast("cpu", torch.bfloat16):
            _backward(model)
    # No weight has this shape: only V of the `intermediate` group and U of the `output` group.
    found = [tensor.dtype for pointer, tensor in _square().items() if pointer not in before]
    assert Counter(found) == {torch.float32: 2, torch.bfloat16: 2}


def test_parts_of_bases_are_held_once_for_all_layers_and_models() -> None:
    plain = tiny_bert().float()
    basis = _basis(plain)
    config = SparseGradConfig(engine="adapter", **LEADING)
    layers = [
        layer
        for _ in range(2)
        for layer in sparse_layers(sparsify(copy.deepcopy(plain), basis, config)).values()
    ]
    assert len(layers) == 8
    held = {
        (tensor.dtype, tensor.untyped_storage().data_ptr())
        for layer in layers
        for dtype in (torch.float32, torch.bfloat16)
        for tensor in layer.part.on(layer.coordinates.device, dtype)
    }
    # U_C and V_R of each of two groups.
    assert Counter(dtype for dtype, _ in held) == {torch.float32: 4, torch.bfloat16: 4}


@pytest.mark.parametrize(
    ("engine", "size", "kept"),
    [
        pytest.param("folded", DYNAMIC, D_IN, id="folded-input"),
        pytest.param("folded", LEADING, BLOCK[1], id="folded-projection"),
        pytest.param("adapter", LEADING, BLOCK[1], id="adapter-projection"),
        # With fewer rows than columns S is multiplied in on the input's side, as LoRA's A is.
        pytest.param("adapter", {"block": (3, 5)}, D_IN, id="adapter-input"),
    ],
)
def test_backward_holds_the_input_or_its_projection_only(
    engine: str, size: dict[str, Any], kept: int
) -> None:
    layer = next(iter(sparse_layers(_sparse(engine, size)).values()))
    assert _bytes_a_token(nn.Linear(D_IN, D_OUT)) == D_IN * 4
    assert _bytes_a_token(layer) == kept * 4


def _bytes_a_token(layer: nn.Module) -> float:
    few, many = (torch.randn(tokens, D_IN, requires_grad=True) for tokens in (28, 56))
    return (saved_bytes(layer, many) - saved_bytes(layer, few)) / 28


# torch's own, while it traces a function with a backward of its own.
@cases
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("autocast", [False, True])
def test_a_layer_compiles_without_a_graph_break_to_the_same_numbers(
    engine: str, size: dict[str, Any], autocast: bool
) -> None:
    layer = next(iter(sparse_layers(_sparse(engine, size)).values()))
    torch.compiler.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = torch.randn(4, 7, D_IN, requires_grad=True)
    results = []
    for forward in (layer, compiled):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = forward(x)
        y.square().sum().backward()
        results.append([y.detach(), x.grad, layer.coordinates.grad])
        x.grad = layer.coordinates.grad = None
    # A compiler may round to bfloat16 at other places.
    tolerance = {"rtol": 2e-2, "atol": 2e-2} if autocast else {}
    torch.testing.assert_close(results[1], results[0], **tolerance)


@cases
def test_a_model_trains_after_a_look_in_inference_mode(engine: str, size: dict[str, Any]) -> None:
    model = _sparse(engine, size)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.inference_mode():
            model(**batch_for(model))
        _backward(model)
    assert all(layer.coordinates.grad.norm() > 0 for layer in sparse_layers(model).values())


@cases
def test_loading_a_head_alone_leaves_what_the_layers_learned(
    engine: str, size: dict[str, Any]
) -> None:
    model = _sparse(engine, size)
    optimizer = build_optimizer(model)
    _backward(model)
    optimizer.step()
    learned = {name: layer.delta for name, layer in sparse_layers(model).items()}
    head = {name: t for name, t in model.state_dict().items() if name.startswith("classifier")}
    model.load_state_dict(head, strict=False)
    for name, layer in sparse_layers(model).items():
        assert layer.touched > 0
        assert torch.equal(layer.delta.indices, learned[name].indices)
        assert torch.equal(layer.delta.values, learned[name].values)
