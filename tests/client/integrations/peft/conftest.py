"""Random bases in the cache of a client's home of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cached_bases import MakeBasis, cache_basis
from support.sparse_models import BERT_GROUPS, random_basis, tiny_bert


@pytest.fixture
def bert_basis(client_home: Path) -> MakeBasis:
    """Caches a basis for `tiny_bert`, another for each seed, and gives its digest."""

    def make(seed: int = 0, ranks: tuple[int, int] | None = None) -> str:
        basis = random_basis(tiny_bert(), BERT_GROUPS, seed=seed, ranks=ranks)
        return cache_basis(client_home, *basis.groups.values())

    return make
