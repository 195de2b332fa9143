"""Bases: checked when made, shared when used."""

from __future__ import annotations

import copy

import pytest
import torch
from support.sparse_models import basis_of, digest, group_basis, orthonormal

from sparsegrad_client.basis import Basis, GroupBasis
from sparsegrad_shared.errors import InvalidInput, ShapeMismatch


def test_a_group_knows_its_sizes() -> None:
    group = group_basis("up", ("a", "b"), 7, 5, ranks=(4, 3))
    assert (group.d_out, group.d_in, group.r_out, group.r_in) == (7, 5, 4, 3)
    assert not group.is_full
    assert group_basis("up", ("a",), 7, 5).is_full


def test_casts_are_made_once_and_shared() -> None:
    group = group_basis("up", ("a",), 7, 5)
    first = group.on(torch.device("cpu"), torch.float32)
    again = group.on(torch.device("cpu"), torch.float32)
    assert first[0] is again[0]
    assert first[0].dtype == torch.float32
    assert group.on(torch.device("cpu"), torch.float64)[0] is group.U


def test_copies_of_a_basis_are_the_basis() -> None:
    basis = basis_of(group_basis("up", ("a",), 3, 3))
    assert copy.deepcopy(basis) is basis
    assert copy.deepcopy(basis.groups["up"]) is basis.groups["up"]


def _group(**changes: object) -> GroupBasis:
    parts: dict[str, object] = {
        "name": "up",
        "layers": ("a",),
        "U": orthonormal(5, 3, 0),
        "V": orthonormal(7, 4, 1),
        "eigenvalues_in": torch.ones(3, dtype=torch.float64),
        "eigenvalues_out": torch.ones(4, dtype=torch.float64),
    }
    return GroupBasis(**(parts | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"layers": ()}, InvalidInput, "at least one layer"),
        ({"layers": ("a", "a")}, InvalidInput, "twice"),
        ({"U": torch.ones(5)}, ShapeMismatch, "U: expected a matrix"),
        ({"V": torch.ones(7, 4, dtype=torch.int64)}, ShapeMismatch, "V: expected a matrix"),
        ({"U": torch.ones(2, 3)}, ShapeMismatch, "shape 2 x 3"),
        ({"eigenvalues_in": torch.ones(3)}, ShapeMismatch, "expected 3 float64 values"),
        (
            {"eigenvalues_out": torch.ones(3, dtype=torch.float64)},
            ShapeMismatch,
            "eigenvalues_out: expected 4",
        ),
    ],
)
def test_a_group_that_is_not_whole_is_refused_by_name(
    changes: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=f"basis group 'up'.*{said}"):
        _group(**changes)


def test_a_basis_finds_the_group_of_a_layer() -> None:
    up, down = group_basis("up", ("a", "b"), 3, 2), group_basis("down", ("c",), 2, 3)
    basis = basis_of(up, down)
    assert basis.group_of("b") is up
    assert basis.group_of("c") is down
    assert basis.layers == ("a", "b", "c")
    with pytest.raises(InvalidInput, match="no layer 'd'; it has a, b, c"):
        basis.group_of("d")


def test_a_basis_that_contradicts_itself_is_refused() -> None:
    up, other = group_basis("up", ("a",), 3, 2), group_basis("other", ("a",), 3, 2)
    with pytest.raises(InvalidInput, match="layer 'a' is in two groups, 'up' and 'other'"):
        basis_of(up, other)
    with pytest.raises(InvalidInput, match="group 'up' is filed under 'down'"):
        Basis(digest(0), {"down": up})
    with pytest.raises(InvalidInput, match="at least one group"):
        Basis(digest(0), {})
    with pytest.raises(InvalidInput, match="expected a digest"):
        Basis("sha256:abc", {"up": up})
