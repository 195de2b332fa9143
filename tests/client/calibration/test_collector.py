"""What a calibration collects, held to autograd's own gradients in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import tiny_models
from torch import Tensor, nn
from transformers import PreTrainedModel

from sparsegrad_client.calibration.collector import collecting
from sparsegrad_client.calibration.frames import Send
from sparsegrad_client.calibration.plan import Plan
from sparsegrad_client.groups import LayerSpec, auto_spec, find_groups
from sparsegrad_shared.errors import InvalidInput, NonFiniteGradient, UnsupportedModel
from sparsegrad_shared.framing import Frame, RawTensor

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}
Make = Callable[[], PreTrainedModel]
CASES: list[Any] = [
    pytest.param(tiny_models.bert, tiny_models.classification_batch, id="bert"),
    pytest.param(lambda: tiny_models.llama(blocks=3), tiny_models.causal_batch, id="llama"),
    pytest.param(tiny_models.gpt2, tiny_models.causal_batch, id="gpt2"),
]


class Outputs(dict[str, Tensor]):
    """What a model gives back, by name."""


def _tensor(raw: RawTensor) -> Tensor:
    return torch.frombuffer(bytearray(raw.data), dtype=DTYPES[raw.dtype]).view(raw.shape)


def _gradient(frame: Frame) -> Tensor:
    tensors = {name: _tensor(raw) for name, raw in frame.tensors.items()}
    return tensors["G"] if "G" in tensors else tensors["g"].t() @ tensors["x"]


def _collect(
    model: nn.Module,
    batches: list[dict[str, Tensor]],
    *,
    send: Send = "auto",
    lr: float = 0.0,
    head_lr: float = 0.0,
    spec: LayerSpec | None = None,
) -> dict[tuple[str, int], Frame]:
    plan = Plan(find_groups(model, spec or auto_spec(model)), len(batches), 0)
    frames: dict[tuple[str, int], Frame] = {}

    def emit(group: str, index: int, frame: Frame) -> None:
        assert (group, index) not in frames
        frames[group, index] = frame

    torch.manual_seed(7)  # dropout
    with collecting(
        model,
        plan,
        lr=lr,
        send=send,
        wanted=lambda group, index: True,
        emit=emit,
        head_lr=head_lr,
    ) as collector:
        for batch in batches:
            collector.step(batch)
    return frames


def _dense(
    model: PreTrainedModel, batches: list[dict[str, Tensor]], lr: float, head_lr: float
) -> dict[tuple[str, int], Tensor]:
    """The obvious way: train a copy with one AdamW over all groups' weights and the head."""
    model = copy.deepcopy(model).train()
    groups = find_groups(model, auto_spec(model))
    model.requires_grad_(False)
    weights = [layer.weight.requires_grad_(True) for g in groups for layer in g.layers]
    head = [p.requires_grad_() for n, p in model.named_parameters() if n.startswith("classifier")]
    trained = [{"params": weights}, {"params": head, "lr": head_lr}] if head else weights
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=0.0)
    gradients: dict[tuple[str, int], Tensor] = {}
    torch.manual_seed(7)
    for step, batch in enumerate(batches):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        for group in groups:
            for position, layer in enumerate(group.layers):
                assert layer.weight.grad is not None
                G = layer.weight.grad.t() if layer.transposed else layer.weight.grad
                gradients[group.name, step * len(group.layers) + position] = G.clone()
        optimizer.step()
    return gradients


@pytest.mark.parametrize("head_lr", [0.0, 1e-1])
@pytest.mark.parametrize("send", ["dense", "factored", "auto"])
@pytest.mark.parametrize(("make", "batch"), CASES)
def test_gradients_are_autograds_along_the_same_training(
    make: Make, batch: Callable[[int], dict[str, Tensor]], send: Send, head_lr: float
) -> None:
    torch.manual_seed(0)
    model = make().double()
    batches = [batch(seed) for seed in range(4)]
    expected = _dense(model, batches, lr=1e-2, head_lr=head_lr)
    frames = _collect(model, batches, send=send, lr=1e-2, head_lr=head_lr)
    assert frames.keys() == expected.keys()
    for slot, G in expected.items():
        torch.testing.assert_close(_gradient(frames[slot]), G, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(("make", "batch"), CASES)
def test_the_model_comes_back_bit_for_bit(
    make: Make, batch: Callable[[int], dict[str, Tensor]], fails: bool
) -> None:
    torch.manual_seed(0)
    model = make().eval()
    parameters = dict(model.named_parameters())
    first, *_, last = parameters.values()
    first.requires_grad_(False)
    last.grad = torch.ones_like(last)
    kept = last.grad
    next(iter(model.modules())).training = True
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    flags = [p.requires_grad for p in parameters.values()]
    modes = [m.training for m in model.modules()]
    batches = [batch(0), {"input_ids": batch(1)["input_ids"]} if fails else batch(1)]
    if fails:
        with pytest.raises(InvalidInput, match="step 1: the model gave no loss"):
            _collect(model, batches, lr=1e-2, head_lr=1e-2)
    else:
        _collect(model, batches, lr=1e-2, head_lr=1e-2)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert [p.requires_grad for p in parameters.values()] == flags
    assert [m.training for m in model.modules()] == modes
    assert last.grad is kept
    assert all(p.grad is None for p in parameters.values() if p is not last)
    assert not any(m._forward_hooks for m in model.modules())
    assert not any(p._post_accumulate_grad_hooks for p in parameters.values())


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_counts_no_row_twice(reentrant: bool) -> None:
    torch.manual_seed(0)
    model = tiny_models.llama(blocks=3).double()
    batches = [tiny_models.causal_batch(0)]
    plain = _collect(model, batches, send="factored")
    model.activation_checkpointing_enable({"use_reentrant": reentrant})
    if reentrant:
        model.enable_input_require_grads()
    checkpointed = _collect(model, batches, send="factored")
    for slot, frame in plain.items():
        assert checkpointed[slot].tensors["g"].shape == frame.tensors["g"].shape
        torch.testing.assert_close(_gradient(checkpointed[slot]), _gradient(frame))


class _Twice(nn.Module):
    """One layer called twice, one that shares its weight, one that no token reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.called_twice = nn.Linear(3, 3, dtype=torch.float64)
        self.owner = nn.Linear(3, 3, dtype=torch.float64)
        self.borrower = nn.Linear(3, 3, dtype=torch.float64)
        self.borrower.weight = self.owner.weight
        self.unreached = nn.Linear(3, 3, dtype=torch.float64)

    def forward(self, x: Tensor) -> Outputs:
        y = self.called_twice(torch.tanh(self.called_twice(x)))
        y = self.borrower(torch.tanh(self.owner(input=y)))
        return Outputs(loss=(y**2).sum())


TWICE = LayerSpec({"all": "called_twice|owner|borrower|unreached"})


def test_a_layer_called_twice_and_a_shared_weight_give_whole_gradients() -> None:
    torch.manual_seed(0)
    model = _Twice()
    x = torch.randn(2, 3, dtype=torch.float64)
    frames = _collect(model, [{"x": x}], spec=TWICE)
    model(x)["loss"].backward()
    for index, weight in enumerate((model.called_twice.weight, model.owner.weight)):
        assert weight.grad is not None
        torch.testing.assert_close(_gradient(frames["all", index]), weight.grad)
    factored = _collect(model, [{"x": x}], spec=LayerSpec({"all": "called_twice"}), send="factored")
    assert factored["all", 0].tensors["x"].shape == (4, 3)


def test_a_layer_that_no_token_reached_sends_zero() -> None:
    frames = _collect(_Twice(), [{"x": torch.ones(1, 3, dtype=torch.float64)}], spec=TWICE)
    assert frames.keys() == {("all", 0), ("all", 1), ("all", 2)}
    assert not _gradient(frames["all", 2]).any()


def test_a_shared_weight_has_no_factors_of_one_layer() -> None:
    with pytest.raises(UnsupportedModel, match="owner"):
        _collect(_Twice(), [{"x": torch.ones(1, 3)}], spec=TWICE, send="factored")


def test_auto_sends_the_smaller_form_and_leaves_padding_out() -> None:
    torch.manual_seed(0)
    model = tiny_models.bert().double()
    small = _collect(model, [tiny_models.classification_batch(0, rows=2, length=4)])
    large = _collect(model, [tiny_models.classification_batch(0, rows=8, length=16)])
    for frame in small.values():
        tokens = frame.tensors["g"].shape[0]
        assert tokens < 8  # the second sentence is half padding
        assert tokens * (16 + 24) < 16 * 24
    assert all(set(frame.tensors) == {"G"} for frame in large.values() if len(frame.tensors) == 1)
    assert any("G" in frame.tensors for frame in large.values())


def test_gradients_are_sent_in_the_weights_data_type_under_autocast() -> None:
    model = tiny_models.bert()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        frames = _collect(model, [tiny_models.classification_batch(0)])
    assert {raw.dtype for f in frames.values() for raw in f.tensors.values()} == {"float32"}
    half = tiny_models.bert().to(torch.bfloat16)
    frames = _collect(half, [tiny_models.classification_batch(0)])
    assert {raw.dtype for f in frames.values() for raw in f.tensors.values()} == {"bfloat16"}


class _Scaled(nn.Module):
    """A finite loss whose gradient is not: the derivative of sqrt at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2, bias=False)

    def forward(self, x: Tensor) -> Outputs:
        return Outputs(loss=self.layer(x).sum().abs().sqrt())


def test_a_gradient_that_is_not_finite_names_step_and_layer() -> None:
    batches = [{"x": torch.ones(1, 2)}, {"x": torch.zeros(1, 2)}]
    with pytest.raises(NonFiniteGradient, match="step 1: the gradient of layer has 4 entries of 4"):
        _collect(_Scaled(), batches, spec=LayerSpec({"all": "layer"}))


def test_a_loss_that_is_not_finite_names_the_step() -> None:
    with pytest.raises(InvalidInput, match="step 0: the loss is nan"):
        _collect(
            _Scaled(), [{"x": torch.full((1, 2), torch.nan)}], spec=LayerSpec({"all": "layer"})
        )
