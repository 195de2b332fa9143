"""A subspace is ΔW̃ over the rows and columns that have any entry, and no more."""

from __future__ import annotations

import copy

import torch
from hypothesis import given
from hypothesis import strategies as st
from support.sparse_models import group_basis

from sparsegrad_client.basis import GroupBasis
from sparsegrad_client.integrations.peft.subspace import Subspace
from sparsegrad_client.support import Support

CPU = torch.device("cpu")
R_OUT, R_IN = 5, 7


def _group() -> GroupBasis:
    return group_basis("up", ("a", "b"), 9, 8, ranks=(R_OUT, R_IN))


@given(places=st.sets(st.integers(0, R_OUT * R_IN - 1), min_size=1), seed=st.integers(0, 99))
def test_the_change_is_that_of_the_whole_matrix(places: set[int], seed: int) -> None:
    group, indices = _group(), torch.tensor(sorted(places))
    values = torch.randn(
        len(places), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).requires_grad_()
    subspace = Subspace.of(group, indices)
    U, V = subspace.directions(CPU, torch.float64)
    whole = torch.zeros(R_OUT * R_IN, dtype=torch.float64).index_put((indices,), values)

    expected = group.V @ whole.view(R_OUT, R_IN) @ group.U.T
    found = V @ subspace.block(values) @ U.T
    weights = torch.randn(expected.shape, dtype=torch.float64)
    in_the_basis = (group.V.T @ weights @ group.U).flatten()
    down, up = subspace.factors(values, torch.float64)
    assert down.shape[1] == up.shape[0] == min(subspace.support.shape)
    for change in (found, (down @ up).T):
        torch.testing.assert_close(change, expected, rtol=0, atol=1e-13)
        (gradient,) = torch.autograd.grad((change * weights).sum(), values)
        torch.testing.assert_close(gradient, in_the_basis[indices], rtol=0, atol=1e-12)


@given(places=st.sets(st.integers(0, R_OUT * R_IN - 1), min_size=1))
def test_it_has_just_the_rows_and_columns_with_entries(places: set[int]) -> None:
    subspace = Subspace.of(_group(), torch.tensor(sorted(places)))
    assert subspace.support.rows.tolist() == sorted({place // R_IN for place in places})
    assert subspace.support.columns.tolist() == sorted({place % R_IN for place in places})


def test_layers_with_one_block_share_its_directions() -> None:
    group, indices = _group(), Support.leading(3, 2).indices(R_IN)
    subspaces = Subspace.of(group, indices), Subspace.of(group, indices)
    (U, V), (again_U, again_V) = (each.directions(CPU, torch.float32) for each in subspaces)
    assert (U.data_ptr(), V.data_ptr()) == (again_U.data_ptr(), again_V.data_ptr())
    assert (U.shape, V.shape) == ((8, 2), (9, 3))


def test_scattered_entries_keep_no_directions_beside_the_groups_own() -> None:
    group = _group()
    subspace = Subspace.of(group, torch.tensor([0, R_IN + 1]))
    U, _ = subspace.directions(CPU, torch.float64)
    again, _ = subspace.directions(CPU, torch.float64)
    assert subspace.part is None
    assert torch.equal(U, group.U[:, [0, 1]])
    assert U.data_ptr() != again.data_ptr()


def test_a_copied_model_shares_it() -> None:
    subspace = Subspace.of(_group(), torch.tensor([3]))
    assert copy.deepcopy(subspace) is subspace
