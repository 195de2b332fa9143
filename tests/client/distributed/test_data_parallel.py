"""Plain `DistributedDataParallel` over sparse models, two ranks, in float64."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data_parallel import (
    Arrays,
    Batch,
    Run,
    refusal_of_a_missing_warm_up,
    refusal_of_different_supports,
    same_bits,
    save_from_replica,
    supports_chosen_together,
    train_alone,
    train_as_rank,
    train_ties_as_rank,
)
from support.ranks import Ranks
from support.sparse_models import ARCHITECTURES, batch_for, random_basis
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sparsegrad_client import SparseGradConfig, load_adapter, sparsify
from sparsegrad_client.adapters import adapter_of
from sparsegrad_client.layers import sparse_layers


def _assert_follows(states: list[Arrays], alone: Arrays) -> None:
    assert same_bits(states)
    assert states[0].keys() == alone.keys()
    for name, expected in alone.items():
        np.testing.assert_allclose(states[0][name], expected, rtol=0, atol=1e-10, err_msg=name)


def _whole(model: nn.Module, batch: Batch) -> Tensor:
    loss: Tensor = model(**batch).loss
    return loss


needs_forward_sync_buffers = pytest.mark.skipif(
    "forward_sync_buffers" not in inspect.signature(DistributedDataParallel).parameters,
    reason="an option of later releases of PyTorch",
)

CONFIGS = {
    "folded": SparseGradConfig(density=0.05, engine="folded"),
    "folded-paper": SparseGradConfig(density=0.05, engine="folded", error_feedback=False),
    "folded-block": SparseGradConfig(block=(6, 5), engine="folded", selection="block"),
    "reference": SparseGradConfig(density=0.05, engine="reference"),
    "adapter": SparseGradConfig(block=(6, 5), engine="adapter"),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("architecture", ["bert", "llama", "gpt2"])
def test_ranks_with_half_a_batch_each_follow_one_process_with_the_whole(
    ranks: Ranks, architecture: str, config: SparseGradConfig
) -> None:
    run = Run(architecture=architecture, config=config)
    _assert_follows(ranks.run(train_as_rank, run), train_alone(run, _whole))


@settings(max_examples=4)
@given(
    seed=st.integers(0, 2**16),
    density=st.floats(0.001, 1),
    rows=st.integers(1, 3),
    accumulate=st.integers(1, 3),
)
def test_every_rank_weighs_the_same_however_many_rows_and_micro_batches_it_has(
    ranks: Ranks, seed: int, density: float, rows: int, accumulate: int
) -> None:
    config = SparseGradConfig(density=density, train_bias=True)
    run = Run(seed=seed, config=config, rows=rows, accumulate=accumulate)

    _assert_follows(ranks.run(train_as_rank, run), train_alone(run, run.mean_of_shards))


@pytest.mark.parametrize(
    "options",
    [
        {"gradient_as_bucket_view": True},
        pytest.param({"forward_sync_buffers": False}, marks=needs_forward_sync_buffers),
        {"static_graph": True},
        {"find_unused_parameters": True},
        {"bucket_cap_mb": 0.001},
    ],
    ids=lambda options: next(iter(options)),
)
def test_settings_of_ddp_change_nothing(ranks: Ranks, options: dict[str, Any]) -> None:
    run = Run(ddp=options)
    _assert_follows(ranks.run(train_as_rank, run), train_alone(run, _whole))


def test_a_selection_in_each_backward_pass_is_each_ranks_own(ranks: Ranks) -> None:
    run = Run(config=SparseGradConfig(density=0.05, accumulate="selected"), accumulate=2)

    _assert_follows(ranks.run(train_as_rank, run), train_alone(run, run.mean_of_shards))


def test_ranks_break_ties_alike(ranks: Ranks) -> None:
    first, second = ranks.run(train_ties_as_rank, 20, 5)
    assert same_bits([first, second])
    assert first["layer.changed"].tolist() == [0, 1, 2, 3, 4]


def test_ranks_that_chose_different_blocks_are_told(ranks: Ranks) -> None:
    first, second = ranks.run(
        refusal_of_different_supports, Run(config=SparseGradConfig(block=(6, 5)))
    )
    assert first == ""
    assert "the same warm-up batches" in second


@pytest.mark.parametrize(
    "config",
    [SparseGradConfig(block=(6, 5)), SparseGradConfig(entries=30, selection="frozen")],
    ids=["block", "frozen"],
)
def test_ranks_in_a_group_choose_the_support_of_all_their_batches(
    ranks: Ranks, config: SparseGradConfig
) -> None:
    run = Run(config=config)
    make, groups = ARCHITECTURES[run.architecture]
    alone = make(run.seed)
    batches = [batch_for(alone, seed) for seed in range(2)]
    sparsify(alone, random_basis(make(), groups, seed=run.seed), config, warm_up=batches)
    for chosen in ranks.run(supports_chosen_together, run):
        for name, layer in sparse_layers(alone).items():
            np.testing.assert_array_equal(chosen[name], layer.positions)


def test_a_rank_without_a_batch_to_warm_up_on_ends_all_of_them(ranks: Ranks) -> None:
    run = Run(config=SparseGradConfig(entries=30, selection="frozen"))
    first, second = ranks.run(refusal_of_a_missing_warm_up, run, 1)
    assert "expected at least one batch" in second
    assert "rank 1: InvalidInput" in first


def test_the_adapter_of_a_wrapped_model_goes_onto_a_plain_one(ranks: Ranks, tmp_path: Path) -> None:
    run = Run()
    ranks.run(save_from_replica, run, tmp_path / "adapter")
    make, groups = ARCHITECTURES[run.architecture]
    model = make()
    load_adapter(model, tmp_path / "adapter", random_basis(model, groups, seed=run.seed))
    assert adapter_of(model).parameters.keys() == adapter_of(run.model()).parameters.keys()
