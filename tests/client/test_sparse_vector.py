"""Sparse vectors that grow, against dense ones."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_client.sparse_vector import SparseVector, check_entries, unite
from sparsegrad_shared.errors import InvalidInput, ShapeMismatch

SIZE = 30
index_sets = st.sets(st.integers(0, SIZE - 1)).map(
    lambda chosen: torch.tensor(sorted(chosen), dtype=torch.int64)
)


def _vector() -> SparseVector:
    return SparseVector(SIZE, like=torch.zeros(1, dtype=torch.float64))


@given(index_sets, index_sets)
def test_a_union_is_that_of_the_sets_and_says_where_each_entry_went(
    old: torch.Tensor, new: torch.Tensor
) -> None:
    union = unite(old, new)
    assert union.indices.tolist() == sorted({*old.tolist(), *new.tolist()})
    assert torch.equal(union.indices[union.new_at], new)
    values = old.double() + 1
    dense = torch.zeros(SIZE, dtype=torch.float64).index_put((old,), values)
    assert torch.equal(union.spread(values), dense[union.indices])


@given(st.lists(index_sets, max_size=6))
def test_sums_of_sparse_steps_equal_the_dense_sum(steps: list[torch.Tensor]) -> None:
    vector, dense = _vector(), torch.zeros(SIZE, dtype=torch.float64)
    for number, indices in enumerate(steps):
        values = torch.arange(1.0, indices.numel() + 1, dtype=torch.float64) * (number + 1)
        vector.add_(indices, values)
        dense[indices] += values
    touched = sorted({index for indices in steps for index in indices.tolist()})
    assert vector.indices.tolist() == touched
    assert torch.equal(vector.values, dense[touched])


def test_a_vector_saves_and_loads_whatever_its_length() -> None:
    grown, empty = _vector(), _vector()
    grown.add_(torch.tensor([3, 7, 29]), torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    empty.load_state_dict(grown.state_dict())
    assert torch.equal(empty.indices, grown.indices)
    assert torch.equal(empty.values, grown.values)


@pytest.mark.parametrize("left_out", [{"indices"}, {"values"}, {"indices", "values"}])
def test_an_empty_vector_may_be_missing_from_what_is_loaded(left_out: set[str]) -> None:
    state = _vector().state_dict()
    vector = _vector()
    vector.add_(torch.tensor([3]), torch.tensor([1.0]))
    vector.load_state_dict({key: state[key] for key in state.keys() - left_out})
    assert len(vector) == vector.values.numel() == 0


def test_half_a_vector_is_refused() -> None:
    vector = _vector()
    vector.add_(torch.tensor([3]), torch.tensor([1.0]))
    state = vector.state_dict()
    del state["values"]
    with pytest.raises(RuntimeError, match="values"):
        _vector().load_state_dict(state)


def test_a_copy_grows_on_its_own() -> None:
    vector = _vector()
    vector.add_(torch.tensor([5]), torch.tensor([1.0], dtype=torch.float64))
    twin = copy.deepcopy(vector)
    twin.add_(torch.tensor([5, 6]), torch.tensor([1.0, 1.0], dtype=torch.float64))
    assert vector.indices.tolist() == [5]
    assert vector.values.tolist() == [1.0]


def test_converting_a_vector_leaves_its_indices_whole() -> None:
    vector = SparseVector(2**40, like=torch.zeros(1))
    vector.add_(torch.tensor([2**39 + 1]), torch.tensor([1.0]))
    assert vector.double().indices.tolist() == [2**39 + 1]
    assert vector.values.dtype == torch.float64


@pytest.mark.parametrize(
    ("indices", "values", "error", "said"),
    [
        ([0, 1], [1.0], ShapeMismatch, "as many indices as values"),
        ([0.5], [1.0], ShapeMismatch, "int32 or int64"),
        ([1, 0], [1.0, 1.0], InvalidInput, "rising"),
        ([1, 1], [1.0, 1.0], InvalidInput, "none twice"),
        ([-1, 1], [1.0, 1.0], InvalidInput, "from 0 to 29"),
        ([0, 30], [1.0, 1.0], InvalidInput, "from 0 to 29"),
        ([0], [float("nan")], InvalidInput, "finite"),
    ],
)
def test_entries_from_outside_are_held_to_the_layout(
    indices: list[float], values: list[float], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=f"layer 'up': .*{said}"):
        check_entries(torch.tensor(indices), torch.tensor(values), SIZE, where="layer 'up'")
