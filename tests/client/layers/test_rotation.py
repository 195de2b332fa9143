"""The folded engine's mathematics, against dense products, and its cost."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from support.sparse_models import orthonormal
from torch.utils.flop_counter import FlopCounterMode

from sparsegrad_client.layers.rotation import (
    block_factors,
    fold_entries,
    gradient_in_basis,
    touched_block,
)

sizes = st.integers(1, 12)


@st.composite
def bases(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    d_in, d_out = draw(sizes), draw(sizes)
    r_in, r_out = draw(st.integers(1, d_in)), draw(st.integers(1, d_out))
    return orthonormal(d_in, r_in, 0), orthonormal(d_out, r_out, 1)


@given(bases(), st.data())
def test_folding_entries_is_expanding_the_matrix_that_they_make(
    pair: tuple[torch.Tensor, torch.Tensor], data: st.DataObject
) -> None:
    U, V = pair
    shape = V.shape[1], U.shape[1]
    chosen = sorted(data.draw(st.sets(st.integers(0, shape[0] * shape[1] - 1))))
    indices = torch.tensor(chosen, dtype=torch.int64)
    values = torch.arange(1.0, len(chosen) + 1, dtype=torch.float64)
    dense = torch.zeros(shape, dtype=torch.float64)
    dense.view(-1)[indices] = values
    torch.testing.assert_close(fold_entries(indices, values, U, V), V @ dense @ U.T)


@given(sizes, sizes, st.data())
def test_a_block_has_the_rows_and_columns_that_sorting_finds(
    n_rows: int, n_columns: int, data: st.DataObject
) -> None:
    chosen = data.draw(st.lists(st.integers(0, n_rows * n_columns - 1), unique=True))
    indices = torch.tensor(chosen, dtype=torch.int64)
    values = torch.arange(1.0, len(chosen) + 1)
    rows, columns, block = touched_block(indices, values, (n_rows, n_columns))
    assert torch.equal(rows, torch.unique(indices // n_columns))
    assert torch.equal(columns, torch.unique(indices % n_columns))
    expected = torch.zeros(n_rows * n_columns)
    expected[indices] = values
    assert torch.equal(block, expected.view(n_rows, n_columns)[rows][:, columns])


@given(bases(), st.sampled_from([torch.float64, torch.float32]))
def test_the_factors_of_a_block_are_as_thin_as_its_shorter_side(
    pair: tuple[torch.Tensor, torch.Tensor], dtype: torch.dtype
) -> None:
    U, V = pair
    S = torch.randn(V.shape[1], U.shape[1], dtype=torch.float64)
    down, up = block_factors(S, (U, V), (U.to(dtype), V.to(dtype)))
    assert down.dtype == up.dtype == dtype
    assert down.shape[1] == up.shape[0] == min(S.shape)
    torch.testing.assert_close(
        (down @ up).double(), (V @ S @ U.T).T, rtol=0, atol=100 * torch.finfo(dtype).eps
    )


def _cheapest(tokens: int, d_in: int, d_out: int, r_in: int, r_out: int) -> int:
    """Multiplications of the best of all five orders of Vᵀ gᵀ x U, counted by hand."""
    rotated_g, rotated_x = tokens * d_out * r_out, tokens * d_in * r_in
    return min(
        rotated_g + rotated_x + tokens * r_out * r_in,  # (gV)ᵀ (xU): the tokens' side
        tokens * d_out * d_in + r_out * d_out * d_in + r_out * d_in * r_in,  # the weights' side
        tokens * d_out * d_in + d_out * d_in * r_in + r_out * d_out * r_in,
        rotated_g + tokens * r_out * d_in + r_out * d_in * r_in,  # ((gV)ᵀ x) U
        rotated_x + tokens * d_out * r_in + r_out * d_out * r_in,  # Vᵀ (gᵀ (xU))
    )


@given(st.integers(1, 60), bases())
def test_the_gradient_costs_no_more_than_the_cheapest_order(
    tokens: int, pair: tuple[torch.Tensor, torch.Tensor]
) -> None:
    U, V = pair
    g = torch.randn(tokens, V.shape[0], dtype=torch.float64)
    x = torch.randn(tokens, U.shape[0], dtype=torch.float64)
    with FlopCounterMode(display=False) as counter:
        found = gradient_in_basis(g, x, U, V)
    torch.testing.assert_close(found, V.T @ (g.T @ x) @ U)
    cost = _cheapest(tokens, U.shape[0], V.shape[0], U.shape[1], V.shape[1])
    assert counter.get_total_flops() == 2 * cost
