"""Supports: which coordinates train, and how they are chosen by energy."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sparsegrad_client.support import (
    Entries,
    Support,
    best_block,
    block_of,
    most_energetic,
)
from sparsegrad_shared.errors import InvalidInput, ShapeMismatch

sides = st.sets(st.integers(0, 11), min_size=1).map(lambda side: torch.tensor(sorted(side)))
energies = st.lists(st.floats(0.01, 100), min_size=1, max_size=12).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)
falling = energies.map(lambda energy: energy.sort(descending=True).values)


@given(sides, sides)
def test_a_block_is_found_again_by_its_entries(rows: Tensor, columns: Tensor) -> None:
    support = Support(rows, columns)
    indices = support.indices(12)
    dense = torch.zeros(12, 12)
    dense[rows[:, None], columns] = 1
    assert torch.equal(indices, dense.flatten().nonzero().flatten())
    again = block_of(indices, 12)
    assert torch.equal(again.rows, rows)
    assert torch.equal(again.columns, columns)


@given(sides, sides)
def test_a_support_fits_the_coordinates_that_have_its_last_row_and_column(
    rows: Tensor, columns: Tensor
) -> None:
    r_out, r_in = int(rows[-1]) + 1, int(columns[-1]) + 1
    support, entries = Support(rows, columns), Entries(Support(rows, columns).indices(r_in))
    support.check_fits(r_out, r_in, "up")
    entries.check_fits(r_out, r_in, "up")
    for size in ((r_out - 1, r_in), (r_out, r_in - 1)):
        with pytest.raises(ShapeMismatch, match=r"layer 'up'.*Take a smaller block"):
            support.check_fits(*size, "up")
        with pytest.raises(ShapeMismatch, match=f"layer 'up'.*has entry {r_out * r_in - 1}"):
            entries.check_fits(*size, "up")


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (torch.tensor([], dtype=torch.int64), "at least one int64"),
        (torch.tensor([0.0, 1.0]), "at least one int64, got torch.float32"),
        (torch.tensor([0, 1], dtype=torch.int32), "at least one int64, got torch.int32"),
        (torch.tensor([[0, 1]]), r"at least one int64, got torch.int64 of shape \(1, 2\)"),
        (torch.tensor([1, 0]), r"rising places.*got \[1, 0\]"),
        (torch.tensor([2, 2]), "none twice"),
        (torch.tensor([-1, 2]), "from 0"),
    ],
)
def test_places_that_are_none_are_refused(places: Tensor, said: str) -> None:
    good = torch.tensor([0])
    with pytest.raises(InvalidInput, match=f"support: rows: .*{said}"):
        Support(places, good)
    with pytest.raises(InvalidInput, match=f"support: columns: .*{said}"):
        Support(good, places)
    with pytest.raises(InvalidInput, match=f"support: indices: .*{said}"):
        Entries(places)


@given(st.integers(1, 160), falling, falling)
def test_no_block_of_as_many_entries_holds_more_than_the_best(
    entries: int, energy_out: Tensor, energy_in: Tensor
) -> None:
    def held(rows: int, columns: int) -> float:
        return float(energy_out[:rows].sum() * energy_in[:columns].sum())

    rows, columns = best_block(entries, energy_out, energy_in)
    assert rows * columns <= entries
    assert rows <= energy_out.numel()
    assert columns <= energy_in.numel()
    others = [
        held(r, c)
        for r in range(1, energy_out.numel() + 1)
        for c in range(1, energy_in.numel() + 1)
        if r * c <= entries
    ]
    assert held(rows, columns) == pytest.approx(max(others), rel=1e-12)


@given(energies, energies, st.data())
def test_no_side_that_was_left_out_holds_more_than_one_that_was_chosen(
    energy_out: Tensor, energy_in: Tensor, data: st.DataObject
) -> None:
    shape = tuple(data.draw(st.integers(1, side.numel())) for side in (energy_out, energy_in))
    support = most_energetic(shape, energy_out, energy_in)
    assert support.shape == shape
    for side, chosen in ((energy_out, support.rows), (energy_in, support.columns)):
        left_out = torch.ones_like(side, dtype=torch.bool).index_fill(0, chosen, value=False)
        assert not left_out.any() or side[left_out].max() <= side[chosen].min()
