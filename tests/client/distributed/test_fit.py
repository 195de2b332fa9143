"""How well a basis fits, found by two ranks together."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from support.data_parallel import Run, energies_as_rank
from support.fits import dense_energies
from support.ranks import Ranks
from support.sparse_models import ARCHITECTURES, random_basis

from sparsegrad_client import SparseGradConfig

CONFIGS = {
    "folded": SparseGradConfig(density=0.05, engine="folded"),
    "reference": SparseGradConfig(density=0.05, engine="reference"),
    "adapter": SparseGradConfig(block=(6, 5), engine="adapter"),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_ranks_find_the_same_the_sum_over_the_gradients_of_each(
    ranks: Ranks, config: SparseGradConfig
) -> None:
    run = Run(config=config, accumulate=2, rows=1)
    make, groups = ARCHITECTURES[run.architecture]
    plain = make(run.seed)
    basis = random_basis(plain, groups, seed=run.seed)
    shards = run.shards(run.batches(plain, 0)[0])
    first, second = (
        dense_energies(plain, basis, lambda model, shard=shard: model(**shard).loss)  # type: ignore[misc]
        for shard in shards
    )
    found = ranks.run(energies_as_rank, run)
    assert found[0] == found[1]
    for name, energy in found[0].items():
        # The ranks' sums travel in float32.
        assert energy == pytest.approx(astuple(first[name] + second[name]), rel=1e-6), name
