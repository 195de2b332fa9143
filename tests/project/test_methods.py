"""SOAP, SparseGrad at density 1, and bases that are refreshed: what the benchmarks compare."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.sparse_models import basis_of, group_basis
from support.tiny_models import VOCABULARY, bert
from torch import Tensor, nn

from sparsegrad_client import Basis, merge
from sparsegrad_client.basis import GroupBasis
from sparsegrad_client.layers import FoldedLinear, sparse_layers

ROOT = Path(__file__).parents[2]
LR = 1e-3
DENSITY = 0.1
LEADING = 3
EVERY = 3  # steps between two refreshes
SOAPS = ["soap-1", "soap-10", "soap-100", "soap-fixed"]
FOLDED = ["folded-full", "folded-refreshed-25", "folded-refreshed-50", "folded-restarted-25"]


@pytest.fixture(autouse=True, scope="module")
def benchmarks() -> Iterator[None]:
    """Their modules can be imported, as their programs import them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield


def _tiny(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return bert().to(dtype).eval()  # no dropout


def _basis(model: nn.Module, *, ranks: tuple[int, int] | None = None) -> Basis:
    from methods import groups_of

    return basis_of(
        *(
            group_basis(
                group.name,
                tuple(layer.path for layer in group.layers),
                group.d_out,
                group.d_in,
                ranks=ranks,
                seed=number,
            )
            for number, group in enumerate(groups_of(model))
        )
    )


def _setting(model: nn.Module, basis: Basis | None = None, lr: float = LR) -> Any:
    from methods import Setting, groups_of, head_of

    return Setting(model, groups_of(model), head_of(model), basis, lr, LR, DENSITY)


def _batch(number: int) -> dict[str, Tensor]:
    ids = torch.randint(VOCABULARY, (8, 6), generator=torch.Generator().manual_seed(number))
    return {"input_ids": ids, "labels": ids[:, 0] % 2}


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, number: int, max_norm: float = math.inf
) -> float:
    """A step on a batch of its own, as the training loop takes it."""
    loss: Tensor = model(**_batch(number)).loss
    loss.backward()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    nn.utils.clip_grad_norm_(parameters, max_norm)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """What the layers' weights are now, by path."""
    return {
        path: parameter.detach().clone()
        for path, parameter in model.named_parameters()
        if path.endswith(("intermediate.dense.weight", "output.dense.weight"))
        and "attention" not in path
    }


def _gradients(model: nn.Module, number: int) -> dict[str, Tensor]:
    """∂L/∂W of each layer, as torch has it for the plain model."""
    plain = copy.deepcopy(model)
    if sparse_layers(plain):
        merge(plain)
    plain.requires_grad_(True)
    plain(**_batch(number)).loss.backward()
    gradients = {path: plain.get_parameter(path).grad for path in _weights(plain)}
    return {path: gradient for path, gradient in gradients.items() if gradient is not None}


def _folded(model: nn.Module) -> list[FoldedLinear]:
    return [layer for layer in sparse_layers(model).values() if isinstance(layer, FoldedLinear)]


@pytest.mark.parametrize("name", [*SOAPS, *FOLDED])
def test_a_method_trains_its_values_and_the_head_and_nothing_else(name: str) -> None:
    from methods import METHODS

    model = _tiny(torch.float32)
    method = METHODS[name]
    basis = None if method.share is None else _basis(model)
    before = {path: parameter.clone() for path, parameter in model.named_parameters()}
    prepared = method.prepare(_setting(model, basis, lr=1e-2))
    dense = name in (*SOAPS, "folded-full")
    sizes = [weight.numel() for weight in _weights(model).values()]
    assert prepared.values == sum(size if dense else round(DENSITY * size) for size in sizes)
    # Over 50 steps bases are refreshed twice and once.
    losses = [_step(model, prepared.optimizer, 0) for _ in range(52)]
    assert losses[-1] < losses[0]
    trained = dict(model.named_parameters())
    changed = {path for path, own in before.items() if not torch.equal(own, trained[path])}
    assert changed == {*_weights(model), "classifier.weight", "classifier.bias"}
    # It is not the head alone that learned.
    with torch.no_grad():
        for path in _weights(model):
            trained[path].copy_(before[path])
        assert float(model(**_batch(0)).loss) > losses[-1]


def test_soap_looks_at_first_and_then_takes_adams_steps_in_the_basis_of_what_it_saw() -> None:
    from methods import METHODS

    model = _tiny()
    optimizer = METHODS["soap-10"].prepare(_setting(model)).optimizer
    before, head = _weights(model), model.get_parameter("classifier.weight").clone()
    seen = _gradients(model, 0)
    _step(model, optimizer, 0)
    assert all(torch.equal(weight, before[path]) for path, weight in _weights(model).items())
    assert not torch.equal(model.get_parameter("classifier.weight"), head)
    gradients = _gradients(model, 1)
    _step(model, optimizer, 1)
    for path, weight in _weights(model).items():
        # The leading vectors: with little energy there is little that tells them apart.
        V, _, Uh = torch.linalg.svd(seen[path])
        V, U = V[:, :LEADING], Uh[:LEADING].T
        change = V.T @ (weight - before[path]) @ U
        # Adam's first step: the sign, but for what is not far above eps.
        root = math.sqrt(1 - 0.95) * (V.T @ gradients[path] @ U)
        torch.testing.assert_close(change, -LR * root / (root.abs() + 1e-8), rtol=1e-6, atol=0.0)


def test_the_bases_of_soap_are_refreshed_as_often_as_its_name_says() -> None:
    from methods import METHODS

    after: dict[str, list[dict[str, Tensor]]] = {}
    for name in ("soap-1", "soap-10", "soap-fixed"):
        model = _tiny()
        optimizer = METHODS[name].prepare(_setting(model)).optimizer
        after[name] = []
        for number in range(12):
            _step(model, optimizer, number)
            after[name].append(_weights(model))

    def same(name: str, step: int) -> bool:
        own, fixed = after[name][step - 1], after["soap-fixed"][step - 1]
        return all(torch.equal(own[path], fixed[path]) for path in fixed)

    # Its first step only looks; a refresh after its second one is met by the third.
    assert [same("soap-1", step) for step in (2, 3)] == [True, False]
    assert [same("soap-10", step) for step in (11, 12)] == [True, False]


def test_density_1_is_adam_in_the_rotated_space() -> None:
    from methods import METHODS

    model = _tiny()
    basis = _basis(model)
    optimizer = METHODS["folded-full"].prepare(_setting(model, basis)).optimizer
    W = _weights(model)
    first = {path: torch.zeros_like(weight) for path, weight in W.items()}
    second = {path: torch.zeros_like(weight) for path, weight in W.items()}
    for step in range(1, 6):
        gradients = _gradients(model, step)
        _step(model, optimizer, step)
        for path, G in gradients.items():
            group = basis.group_of(path.removesuffix(".weight"))
            rotated = group.V.T @ G @ group.U
            first[path] = 0.9 * first[path] + 0.1 * rotated
            second[path] = 0.999 * second[path] + 0.001 * rotated**2
            size = LR * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            change = first[path] / (second[path].sqrt() + 1e-8)
            W[path] -= size * group.V @ change @ group.U.T
        for path, weight in _weights(model).items():
            torch.testing.assert_close(weight, W[path], rtol=0.0, atol=1e-12)


def test_a_refresh_changes_nothing_of_the_model() -> None:
    from methods import METHODS
    from methods.refreshed import refreshed

    outputs = []
    for prepare in (refreshed(EVERY), METHODS["folded"].prepare):
        model = _tiny()
        basis = _basis(model)
        optimizer = prepare(_setting(model, basis)).optimizer
        for number in range(EVERY):
            _step(model, optimizer, number)
        outputs.append(model(**_batch(99)).logits)
        moved = [layer.basis is not basis for layer in _folded(model)]
        assert moved == [len(outputs) == 1] * 4
    assert torch.equal(*outputs)


def test_a_refresh_gives_the_eigenbasis_of_the_gradients_since_the_last_one() -> None:
    from methods.refreshed import refreshed

    model = _tiny()
    optimizer = refreshed(EVERY)(_setting(model, _basis(model))).optimizer
    for round_ in range(2):
        gradients = []
        for number in range(EVERY):
            gradients.append(_gradients(model, EVERY * round_ + number))
            # What is clipped afterwards does not matter.
            _step(model, optimizer, EVERY * round_ + number, max_norm=0.1**number)
        for group in _folded(model)[0].basis.groups.values():
            own = [G for step in gradients for path, G in step.items() if _is_of(path, group)]
            assert len(own) == 2 * EVERY  # of two layers
            _assert_eigenbasis(group.U, group.eigenvalues_in, sum(G.T @ G for G in own))
            _assert_eigenbasis(group.V, group.eigenvalues_out, sum(G @ G.T for G in own))


def _is_of(path: str, group: GroupBasis) -> bool:
    return path.removesuffix(".weight") in group.layers


def _assert_eigenbasis(basis: Tensor, eigenvalues: Tensor, sums: Tensor | int) -> None:
    assert isinstance(sums, Tensor)
    round_off = 1e-12 * float(sums.trace())
    identity = torch.eye(len(sums), dtype=torch.float64)
    torch.testing.assert_close(basis.T @ basis, identity, rtol=0.0, atol=1e-12)
    torch.testing.assert_close(basis.T @ sums @ basis, eigenvalues.diag(), rtol=0.0, atol=round_off)
    assert bool((eigenvalues.diff() <= 0).all())


@pytest.mark.parametrize("moves", [True, False])
def test_after_a_refresh_training_goes_on_as_one_that_begins_in_that_basis(moves: bool) -> None:
    from methods import METHODS
    from methods.refreshed import refreshed, restarted

    model = _tiny()
    basis = _basis(model)
    optimizer = (refreshed if moves else restarted)(EVERY)(_setting(model, basis)).optimizer
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.8**step)
    for number in range(EVERY):
        _step(model, optimizer, number)
        scheduler.step()
    present = _folded(model)[0].basis
    assert (present is basis) is not moves
    fresh = merge(copy.deepcopy(model))
    fresh_setting = _setting(fresh, present, lr=LR * 0.8**EVERY)
    fresh_optimizer = METHODS["folded"].prepare(fresh_setting).optimizer
    before = _weights(model)
    _step(model, optimizer, EVERY)
    _step(fresh, fresh_optimizer, EVERY)
    expected = _weights(fresh)
    for path, weight in _weights(model).items():
        assert not torch.equal(weight, before[path])
        torch.testing.assert_close(weight, expected[path], rtol=0.0, atol=1e-14)
    # What a layer says that it learned is what changed since the refresh, in its own basis.
    if moves:
        for layer, other in zip(_folded(model), _folded(fresh), strict=True):
            assert torch.equal(layer.delta.indices, other.delta.indices)
            torch.testing.assert_close(layer.delta.values, other.delta.values)


def test_a_truncated_basis_is_not_refreshed() -> None:
    from methods.refreshed import refreshed

    model = _tiny()
    with pytest.raises(ValueError, match="expected a full basis to be refreshed, got 5 of 24"):
        refreshed(EVERY)(_setting(model, _basis(model, ranks=(5, 4))))
