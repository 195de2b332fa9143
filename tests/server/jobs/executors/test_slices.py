"""How gradients are shared out: each once, in an order that nothing but their number decides."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_server.jobs.executors.slices import (
    BLOCK,
    BLOCK_GRADIENTS,
    SLICE,
    blocks,
    tree,
    whole_blocks,
)


@given(st.integers(0, 500))
def test_blocks_hold_each_gradient_once_and_in_order(count: int) -> None:
    found = blocks(range(count))
    assert [g for block in found for part in block for g in part] == list(range(count))
    assert all(len(block) <= BLOCK and len(part) <= SLICE for block in found for part in block)


@given(st.integers(0, 500), st.integers(0, 500))
def test_summing_early_shares_out_as_summing_late_does(count: int, arrived: int) -> None:
    first = whole_blocks(min(arrived, count))
    assert first <= arrived
    assert blocks(range(first)) + blocks(range(first, count)) == blocks(range(count))
    assert min(arrived, count) - first < BLOCK_GRADIENTS


@given(st.lists(st.integers(), min_size=1, max_size=BLOCK * 2))
def test_a_tree_merges_every_part_once_and_in_order(parts: list[int]) -> None:
    merged = tree([(part,) for part in parts], lambda left, right: left + right)
    assert merged == tuple(parts)


def test_a_tree_is_as_flat_as_it_can_be() -> None:
    depth = tree([0] * 8, lambda left, right: max(left, right) + 1)
    assert depth == 3
