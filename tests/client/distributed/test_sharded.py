"""The adapter engine under FSDP2 (`fully_shard`), two ranks, in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.data_parallel import (
    Run,
    refusal_of_a_bad_shard,
    same_bits,
    saved_by_callback,
    train_alone_for_adapter,
    train_sharded_as_rank,
)
from support.ranks import Ranks

from sparsegrad_client import SparseGradConfig, read_adapter
from sparsegrad_client.integrations.foundation import Foundation
from sparsegrad_client.layers import sparse_layers


def _run(rows: int, columns: int, architecture: str = "bert") -> Run:
    config = SparseGradConfig(block=(rows, columns), engine="adapter", train_bias=True)
    return Run(architecture=architecture, config=config)


@pytest.mark.parametrize("optimizer", ["ours", "adamw"])
@pytest.mark.parametrize(
    ("rows", "columns", "architecture"),
    [
        pytest.param(6, 4, "bert", id="even"),
        pytest.param(5, 4, "llama", id="uneven"),
        pytest.param(1, 4, "bert", id="a rank without rows"),
    ],
)
def test_ranks_that_hold_a_part_each_follow_one_process(
    ranks: Ranks, rows: int, columns: int, architecture: str, optimizer: str
) -> None:
    run = _run(rows, columns, architecture)
    states = ranks.run(train_sharded_as_rank, run, optimizer)
    assert same_bits(states)
    alone = train_alone_for_adapter(run, optimizer)
    assert states[0].keys() == alone.keys()
    for name, expected in alone.items():
        np.testing.assert_allclose(states[0][name], expected, rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_part_that_is_not_finite_is_refused_on_every_rank(ranks: Ranks, rank: int) -> None:
    for error, message in ranks.run(refusal_of_a_bad_shard, _run(6, 4), rank):
        assert error == "NonFiniteGradient"
        assert "1 of 24 entries" in message


def test_the_trainers_callback_saves_what_ranks_hold_a_part_each_of(
    ranks: Ranks, tmp_path: Path
) -> None:
    run = _run(5, 4)
    digests = ranks.run(saved_by_callback, run, tmp_path)
    assert set(digests) == {Foundation.of(run.model()).frozen}
    saved = read_adapter(tmp_path / "checkpoint-0" / "adapter")
    assert saved.layers.keys() == sparse_layers(run.model()).keys()
