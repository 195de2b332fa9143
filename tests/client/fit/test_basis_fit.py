"""`BasisFit` against the gradients of the plain model, in float64."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fits import dense_energies, report_of
from support.same import assert_same
from support.sparse_models import (
    ARCHITECTURES,
    BERT_GROUPS,
    basis_of,
    batch_for,
    group_basis,
    random_basis,
    tiny_bert,
)
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.convert import sparsify
from sparsegrad_client.fit import BasisFit, BasisMisfit, Energy, Misfit
from sparsegrad_client.fit.judgement import SAMPLES
from sparsegrad_client.layers import sparse_layers
from sparsegrad_client.optim import build_optimizer
from sparsegrad_shared.errors import InvalidInput

CONFIGS = {
    "folded": SparseGradConfig(entries=9, engine="folded"),
    "folded-block": SparseGradConfig(block=(5, 3), engine="folded"),
    "reference": SparseGradConfig(entries=9, engine="reference"),
    "reference-block": SparseGradConfig(block=(5, 3), engine="reference"),
    "adapter": SparseGradConfig(block=(5, 3), engine="adapter"),
    "selected": SparseGradConfig(entries=9, engine="folded", accumulate="selected"),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def _loss(model: nn.Module, seed: int = 0) -> Tensor:
    loss: Tensor = model(**batch_for(model, seed)).loss
    return loss


def _close(
    ours: Mapping[str, Energy] | None, expected: Mapping[str, Energy], rel: float = 1e-9
) -> None:
    assert ours is not None
    assert ours.keys() == expected.keys()
    for name, energy in ours.items():
        for part in ("top", "original", "captured", "total"):
            wanted = getattr(expected[name], part)
            assert getattr(energy, part) == pytest.approx(wanted, rel=rel), (name, part)


@every_config
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("ranks", [None, (9, 7)], ids=["full", "truncated"])
def test_every_engine_gives_the_energies_of_the_dense_gradients(
    architecture: str, config: SparseGradConfig, ranks: tuple[int, int] | None
) -> None:
    make, groups = ARCHITECTURES[architecture]
    plain = make()
    basis = random_basis(plain, groups, ranks=ranks)
    expected = dense_energies(plain, basis, _loss)
    model = sparsify(plain, basis, config)
    fit = BasisFit(model, calibration=None)
    _loss(model).backward()
    _close(fit.step(), expected)
    for name, energy in expected.items():
        group = fit.groups[name]
        assert (group.energy, group.original, group.captured) == pytest.approx(
            (energy.top_share, energy.original_share, energy.captured_share)
        )


@settings(max_examples=20)
@given(st.integers(0, 2**16), st.floats(0.001, 1), st.integers(1, 16), st.integers(1, 16))
def test_the_energies_are_right_in_any_basis_at_any_density(
    seed: int, density: float, r_out: int, r_in: int
) -> None:
    plain = tiny_bert(seed % 3)
    basis = random_basis(plain, BERT_GROUPS, ranks=(r_out, r_in), seed=seed)
    expected = dense_energies(plain, basis, lambda model: _loss(model, seed), density)
    model = sparsify(plain, basis)
    fit = BasisFit(model, calibration=report_of(basis, 0.5, density))
    _loss(model, seed).backward()
    _close(fit.step(), expected)


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(0, 2**16))
def test_the_energies_are_right_for_few_tokens_and_for_many(tokens: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, 8, dtype=torch.float64, generator=generator)
    basis = basis_of(group_basis("all", ("layer",), 8, 8, ranks=(6, 5), seed=seed))
    expected = dense_energies(Twice(), basis, lambda model: model(x).square().sum())
    model = sparsify(Twice(), basis)
    fit = BasisFit(model, calibration=None)
    model(x).square().sum().backward()
    _close(fit.step(), expected)


@every_config
def test_of_several_batches_a_step_the_first_is_the_sample(config: SparseGradConfig) -> None:
    plain = tiny_bert()
    basis = random_basis(plain, BERT_GROUPS)
    expected = dense_energies(plain, basis, lambda model: _loss(model, 7) / 3)
    model = sparsify(plain, basis, config)
    fit = BasisFit(model, calibration=None)
    for seed in (7, 8, 9):
        (_loss(model, seed) / 3).backward()
    _close(fit.step(), expected)


class Twice(nn.Module):
    """One layer that is called twice in a forward pass."""

    def __init__(self, *, reentrant: bool | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.reentrant = reentrant
        self.layer = nn.Linear(8, 8, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        if self.reentrant is None:
            return self._twice(x)
        y: Tensor = checkpoint(self._twice, x, use_reentrant=self.reentrant)
        return y

    def _twice(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(torch.tanh(self.layer(x)))
        return y


@every_config
@pytest.mark.parametrize("reentrant", [None, False, True])
def test_all_calls_of_a_layer_count_once_under_checkpointing_too(
    config: SparseGradConfig, reentrant: bool | None
) -> None:
    x = torch.randn(5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x.requires_grad_(True)
    basis = basis_of(group_basis("all", ("layer",), 8, 8))
    expected = dense_energies(Twice(), basis, lambda model: model(x).square().sum())
    model = sparsify(Twice(reentrant=reentrant), basis, config)
    fit = BasisFit(model, calibration=None)
    model(x).square().sum().backward()
    _close(fit.step(), expected)


@every_config
def test_watching_changes_no_bit_of_the_training(config: SparseGradConfig) -> None:
    states = []
    for watched in (False, True):
        plain = tiny_bert()
        model = sparsify(plain, random_basis(plain, BERT_GROUPS), config)
        optimizer = build_optimizer(model, lr=1e-2)
        fit = BasisFit(model, calibration=None, every=2) if watched else None
        for seed in range(6):
            for part in range(2):
                _loss(model, 2 * seed + part).backward()
            optimizer.step()
            optimizer.zero_grad()
            if fit is not None:
                fit.step()
        states.append((model.state_dict(), optimizer.state_dict()))
    assert_same(*states)


def test_only_the_steps_that_are_due_are_looked_at() -> None:
    plain = tiny_bert()
    model = sparsify(plain, random_basis(plain, BERT_GROUPS))
    layers = sparse_layers(model).values()
    fit = BasisFit(model, calibration=None, every=10)
    sampled = []
    for step in range(1, 41):
        watched = {layer.observer is not None for layer in layers}
        _loss(model, step).backward()
        assert all(layer.observer is None for layer in layers)
        found = fit.step() is not None
        assert watched == {found}
        sampled += [step] * found
    assert sampled == [1, 2, 4, 8, 10, 16, 20, 30, 32, 40]


def test_a_resumed_training_is_looked_at_at_the_same_steps() -> None:
    plain = tiny_bert()
    model = sparsify(plain, random_basis(plain, BERT_GROUPS))
    fit = BasisFit(model, calibration=None, every=10)
    fit.resume(9)
    _loss(model).backward()
    assert fit.step() is not None
    fit.resume(10)
    _loss(model).backward()
    assert fit.step() is None


@every_config
def test_loss_scaling_and_a_step_that_overflows_change_no_share(config: SparseGradConfig) -> None:
    plain = tiny_bert().float()
    basis = random_basis(plain, BERT_GROUPS, dtype=torch.float32)
    model = sparsify(plain, basis, config)
    found = []
    for scale in (1.0, 2.0**16, torch.inf):
        fit = BasisFit(model, calibration=None)
        (_loss(model) * scale).backward()
        found.append(fit.step())
    plainly, scaled, overflown = found
    assert plainly is not None
    assert scaled is not None
    for name, energy in plainly.items():
        assert scaled[name].top_share == pytest.approx(energy.top_share, rel=1e-6)
        assert scaled[name].original_share == pytest.approx(energy.original_share, rel=1e-6)
    assert overflown is None


@every_config
def test_autocast_changes_shares_by_no_more_than_it_rounds(config: SparseGradConfig) -> None:
    plain = tiny_bert().float()
    basis = random_basis(plain, BERT_GROUPS, dtype=torch.float32)
    expected = dense_energies(plain, basis, _loss)
    model = sparsify(plain, basis, config)
    fit = BasisFit(model, calibration=None)
    with torch.autocast("cpu", torch.bfloat16):
        loss = _loss(model)
    loss.backward()
    _close(fit.step(), expected, rel=0.1)


def test_an_evaluation_between_steps_is_no_sample() -> None:
    plain = tiny_bert()
    basis = random_basis(plain, BERT_GROUPS)
    expected = dense_energies(plain, basis, _loss)
    model = sparsify(plain, basis)
    fit = BasisFit(model, calibration=None)
    with torch.no_grad():
        _loss(model, 1)
    with torch.inference_mode():
        _loss(model, 2)
    _loss(model).backward()
    _close(fit.step(), expected)


def test_a_closed_fit_looks_no_more_and_a_copy_is_not_looked_at() -> None:
    plain = tiny_bert()
    model = sparsify(plain, random_basis(plain, BERT_GROUPS))
    with BasisFit(model, calibration=None) as fit:
        twin = copy.deepcopy(model)
        assert all(layer.observer is None for layer in sparse_layers(twin).values())
        _loss(model).backward()
    assert all(layer.observer is None for layer in sparse_layers(model).values())
    assert fit.groups["output"].energy is None


def test_a_compiled_model_is_looked_at_and_compiled_but_twice() -> None:
    plain = tiny_bert()
    basis = random_basis(plain, BERT_GROUPS)
    model = sparsify(plain, basis, CONFIGS["adapter"])
    layer = next(iter(sparse_layers(model).values()))
    torch.compiler.reset()
    compilations = 0

    def counted(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        nonlocal compilations
        compilations += 1
        return graph.forward

    compiled = torch.compile(layer, backend=counted)
    fit = BasisFit(model, calibration=None, every=2)
    x = torch.randn(3, 16, dtype=torch.float64, requires_grad=True)
    seen = []
    for _ in range(12):
        compiled(x).square().sum().backward()
        seen.append(fit.step() is not None)
        if len(seen) == 3:
            after_both = compilations
    assert seen == [step in (1, 2, 4, 6, 8, 10, 12) for step in range(1, 13)]
    assert compilations == after_both


class Corner(nn.Module):
    """A layer whose gradient has its energy in one entry of the original space."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(10, 10, bias=False, dtype=torch.float64)

    def forward(self, seed: int) -> Tensor:
        x = torch.zeros(1, 10, dtype=torch.float64)
        x[0, seed % 10] = 1
        y: Tensor = self.layer(x)
        return y[0, seed % 10]


def _watched(calibration: float | None, **options: Any) -> BasisFit:
    """In a random basis, where each of these gradients is spread over all entries."""
    model = Corner()
    basis = basis_of(group_basis("all", ("layer",), 10, 10))
    sparsify(model, basis)
    fit = BasisFit(model, calibration=report_of(basis, calibration), every=1, **options)
    for seed in range(SAMPLES + 3):
        model(seed).backward()
        fit.step()
    return fit


def test_a_misfit_is_warned_of_once_with_its_numbers_and_what_to_do() -> None:
    with pytest.warns(BasisMisfit) as caught:
        fit = _watched(0.9)
    assert len(caught) == 1
    said = str(caught[0].message)
    for part in ("100.0% without one", "90.0% when it was calibrated", "recalibrate"):
        assert part in said
    assert caught[0].filename == __file__
    assert [misfit.step for misfit in fit.misfits] == [SAMPLES]


def test_a_misfit_is_told_to_whoever_asked_in_place_of_the_warning() -> None:
    told: list[Misfit] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = _watched(0.9, on_misfit=told.append)
    assert tuple(told) == fit.misfits
    assert told[0].group == "all"
    assert told[0].original == pytest.approx(1)


@pytest.mark.parametrize("calibration", [None, 0.0])
def test_without_a_reason_to_expect_better_nothing_is_said(calibration: float | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _watched(calibration).misfits == ()


def test_a_basis_whose_report_is_not_there_is_measured_and_not_judged() -> None:
    plain = tiny_bert()
    model = sparsify(plain, random_basis(plain, BERT_GROUPS))
    fit = BasisFit(model)
    assert {group.calibration for group in fit.groups.values()} == {None}
    _loss(model).backward()
    assert fit.step() is not None


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no sparse layers"):
        BasisFit(tiny_bert())
    plain = tiny_bert()
    model = sparsify(plain, random_basis(plain, BERT_GROUPS))
    with pytest.raises(InvalidInput, match="every: expected at least 1 step, got 0"):
        BasisFit(model, every=0)
