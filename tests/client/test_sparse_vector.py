"""Sparse vectors that grow, against dense ones."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sparsegrad_client.sparse_vector import DenseVector, SparseVector, check_entries, unite
from sparsegrad_shared.errors import InvalidInput, ShapeMismatch

SIZE = 30
index_sets = st.sets(st.integers(0, SIZE - 1)).map(
    lambda chosen: torch.tensor(sorted(chosen), dtype=torch.int64)
)


Vector = type[SparseVector] | type[DenseVector]
each_kind = pytest.mark.parametrize("kind", [SparseVector, DenseVector])


def _vector(kind: Vector = SparseVector) -> SparseVector | DenseVector:
    return kind(SIZE, like=torch.zeros(1, dtype=torch.float64))


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


@each_kind
@given(st.lists(index_sets, max_size=6))
def test_sums_of_sparse_steps_equal_the_dense_sum(kind: Vector, steps: list[torch.Tensor]) -> None:
    vector, dense = _vector(kind), torch.zeros(SIZE, dtype=torch.float64)
    for number, indices in enumerate(steps):
        values = torch.arange(1.0, indices.numel() + 1, dtype=torch.float64) * (number + 1)
        vector.add_(indices, values)
        dense[indices] += values
    touched = sorted({index for indices in steps for index in indices.tolist()})
    assert vector.entries.indices.tolist() == touched
    assert torch.equal(vector.entries.values, dense[touched])
    assert len(vector) == len(touched)


@each_kind
@pytest.mark.parametrize("other", [SparseVector, DenseVector])
def test_a_vector_saves_and_loads_whatever_its_length(kind: Vector, other: Vector) -> None:
    grown, empty = _vector(kind), _vector(other)
    grown.add_(torch.tensor([3, 7, 29]), torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    empty.add_(torch.tensor([4]), torch.tensor([1.0], dtype=torch.float64))
    state = grown.state_dict()
    assert set(state) == {"indices", "values"}
    empty.load_state_dict(state)
    assert torch.equal(empty.entries.indices, grown.entries.indices)
    assert torch.equal(empty.entries.values, grown.entries.values)


@each_kind
@pytest.mark.parametrize("left_out", [{"indices"}, {"values"}, {"indices", "values"}])
def test_an_empty_vector_may_be_missing_from_what_is_loaded(
    kind: Vector, left_out: set[str]
) -> None:
    state = _vector(kind).state_dict()
    vector = _vector(kind)
    vector.add_(torch.tensor([3]), torch.tensor([1.0]))
    vector.load_state_dict({key: state[key] for key in state.keys() - left_out})
    assert len(vector) == vector.entries.values.numel() == 0


@each_kind
def test_a_part_of_a_model_leaves_the_vectors_of_other_parts_alone(kind: Vector) -> None:
    model = nn.ModuleDict(
        {"layer": nn.ModuleDict({"changes": _vector(kind)}), "head": nn.Linear(2, 1)}
    )
    vector = model["layer"]["changes"]
    vector.add_(torch.tensor([3]), torch.tensor([1.0], dtype=torch.float64))
    head = {"head.weight": torch.ones(1, 2), "head.bias": torch.ones(1)}
    found = model.load_state_dict(head, strict=False)
    assert set(found.missing_keys) == {"layer.changes.indices", "layer.changes.values"}
    assert vector.entries.indices.tolist() == [3]


@each_kind
def test_half_a_vector_is_refused(kind: Vector) -> None:
    vector = _vector(kind)
    vector.add_(torch.tensor([3]), torch.tensor([1.0]))
    state = vector.state_dict()
    del state["values"]
    with pytest.raises(RuntimeError, match="values"):
        _vector(kind).load_state_dict(state)


@each_kind
def test_entries_out_of_range_are_not_loaded(kind: Vector) -> None:
    state = {"indices": torch.tensor([SIZE]), "values": torch.tensor([1.0], dtype=torch.float64)}
    with pytest.raises(InvalidInput, match="from 0 to 29"):
        _vector(kind).load_state_dict(state)


@each_kind
def test_a_copy_grows_on_its_own(kind: Vector) -> None:
    vector = _vector(kind)
    vector.add_(torch.tensor([5]), torch.tensor([1.0], dtype=torch.float64))
    twin = copy.deepcopy(vector)
    twin.add_(torch.tensor([5, 6]), torch.tensor([1.0, 1.0], dtype=torch.float64))
    assert vector.entries.indices.tolist() == [5]
    assert vector.entries.values.tolist() == [1.0]


def test_converting_a_dense_vector_converts_its_values() -> None:
    vector = DenseVector(SIZE, like=torch.zeros(1))
    vector.add_(torch.tensor([7]), torch.tensor([1.0]))
    entries = vector.double().entries
    assert entries.indices.tolist() == [7]
    assert entries.values.dtype == torch.float64


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
