"""A spectrum in a few figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_server.hosvd import spectrum_summary
from sparsegrad_shared.errors import InvalidInput
from sparsegrad_shared.report import CURVE_POINTS


@given(st.integers(1, 2000), st.floats(0.1, 3.0))
def test_ranks_hold_their_share_and_one_less_does_not(size: int, decay: float) -> None:
    values = np.arange(1, size + 1.0) ** -decay
    found = spectrum_summary(values, energy=values.sum(), dimension=size)
    for share, rank in ((0.5, found.rank_50), (0.9, found.rank_90), (0.99, found.rank_99)):
        assert values[:rank].sum() >= share * values.sum() * (1 - 1e-12)
        assert values[: rank - 1].sum() < share * values.sum()
    assert len(found.ranks) <= CURVE_POINTS
    assert (found.ranks[0], found.ranks[-1]) == (1, size)
    assert found.energy[-1] == pytest.approx(1)
    assert found.eigenvalues[-1] == values[-1]


def test_a_share_that_a_truncated_spectrum_lacks_is_bounded_by_the_dimension() -> None:
    found = spectrum_summary(np.array([5.0, 1.0]), energy=10.0, dimension=7)
    assert (found.rank_50, found.rank_90, found.rank_99) == (1, 7, 7)
    assert found.energy == (0.5, 0.6)


def test_no_spectrum_is_refused() -> None:
    with pytest.raises(InvalidInput):
        spectrum_summary(np.array([]), energy=1.0, dimension=3)
    with pytest.raises(InvalidInput):
        spectrum_summary(np.zeros(3), energy=0.0, dimension=3)
