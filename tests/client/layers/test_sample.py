"""Samples of plain weights: what they tell apart, and what not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.sparse_models import basis_of, group_basis
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.layers import ENGINES
from sparsegrad_client.layers.plain import read_plain
from sparsegrad_client.layers.sample import may_be_same, sample_of


def _sample(layer: nn.Module) -> Tensor:
    sample = sample_of(read_plain(layer, "layer"))
    assert sample is not None
    return sample


@given(d_out=st.integers(1, 40), d_in=st.integers(1, 40), seed=st.integers(0, 99))
def test_a_sample_is_entries_of_the_weight_at_different_places(
    d_out: int, d_in: int, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = nn.Linear(d_in, d_out)
    sample = _sample(layer)
    assert sample.numel() == min(16, d_out * d_in)
    assert torch.isin(sample, layer.weight).all()
    layer.weight = nn.Parameter(torch.arange(d_out * d_in).view(d_out, d_in).double())
    assert _sample(layer).unique().numel() == sample.numel()


def test_a_layer_that_holds_its_weight_the_other_way_round_has_the_same_sample() -> None:
    linear, conv = nn.Linear(5, 7), Conv1D(7, 5)
    conv.weight = nn.Parameter(linear.weight.detach().T.clone())
    assert torch.equal(_sample(linear), _sample(conv))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@given(seed=st.integers(0, 99), scale=st.sampled_from([1e-5, 0.02, 1.0, 300.0]))
def test_rounding_keeps_a_sample_the_same_and_other_weights_do_not(
    dtype: torch.dtype, seed: int, scale: float
) -> None:
    torch.manual_seed(seed)
    weights = scale * torch.randn(16, dtype=torch.float64)
    assert may_be_same(weights, weights.to(dtype))
    assert may_be_same(weights.to(dtype), weights)
    assert not may_be_same(weights.roll(1), weights.to(dtype))
    assert not may_be_same(weights, weights[:-1].to(dtype))


def test_in_one_type_the_smallest_change_is_seen() -> None:
    weights = torch.randn(16)
    changed = weights.clone()
    changed[3] = torch.nextafter(changed[3], torch.tensor(9.0))
    assert not may_be_same(weights, changed)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_layers_sample_stays_what_it_was_when_training_began(engine: str) -> None:
    plain = nn.Linear(5, 7)
    before = _sample(plain)
    config = SparseGradConfig(engine=engine)  # type: ignore[arg-type]
    basis = basis_of(group_basis("up", ("layer",), 7, 5))
    layer = ENGINES[engine](read_plain(plain, "layer"), "layer", basis, config)
    layer.add_entries_(torch.arange(layer.size), torch.ones(layer.size))
    assert torch.equal(layer.sample, before)
    assert not may_be_same(_sample(layer.merged()), before)
