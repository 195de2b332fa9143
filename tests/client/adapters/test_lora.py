"""Adapters as LoRAs: factors against the dense change's singular value decomposition."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.adapters import dense, random_adapter
from support.sparse_models import basis_of, group_basis
from torch import Tensor

from sparsegrad_client.adapters import Adapter, LayerDelta, to_lora
from sparsegrad_client.basis import Basis
from sparsegrad_shared.errors import InvalidInput, ShapeMismatch, WrongBasis

BASIS = basis_of(
    group_basis("up", ("a", "b"), 12, 9, ranks=(11, 7)),
    group_basis("down", ("c",), 9, 12, seed=1),
)


def _change(delta: LayerDelta, basis: Basis, layer: str) -> Tensor:
    """V ΔW̃ Uᵀ, dense."""
    group = basis.group_of(layer)
    return group.V @ dense(delta) @ group.U.T


@given(entries=st.integers(1, 70), rank=st.integers(1, 12), seed=st.integers(0, 99))
def test_factors_are_the_nearest_of_their_rank_and_the_error_is_true(
    entries: int, rank: int, seed: int
) -> None:
    adapter = random_adapter(BASIS, entries, seed)
    lora = to_lora(adapter, BASIS, rank)
    assert lora.rank <= rank
    dropped = total = 0.0
    for name, factors in lora.layers.items():
        change = _change(adapter.layers[name], BASIS, name)
        product = factors.B @ factors.A
        P, s, Qt = torch.linalg.svd(change, full_matrices=False)
        torch.testing.assert_close(product, (P[:, :rank] * s[:rank]) @ Qt[:rank])
        missed = torch.linalg.norm(change - product)
        assert factors.error == pytest.approx(float(missed / change.norm()), abs=1e-12)
        assert factors.norm == pytest.approx(float(change.norm()))
        dropped, total = dropped + float(missed) ** 2, total + float(change.norm()) ** 2
    assert lora.error == pytest.approx((dropped / total) ** 0.5, abs=1e-12)


def test_the_error_falls_as_the_rank_grows_to_nothing() -> None:
    adapter = random_adapter(BASIS, 60, 1)
    errors = [to_lora(adapter, BASIS, rank).error for rank in range(1, 10)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.1
    assert errors[-1] == 0


def test_the_rank_is_no_larger_than_the_change_needs() -> None:
    adapter = random_adapter(BASIS, 2, 1)
    lora = to_lora(adapter, BASIS, 64)
    assert lora.rank <= 2
    for name, factors in lora.layers.items():
        group = BASIS.group_of(name)
        assert factors.A.shape == (lora.rank, group.d_in)
        assert factors.B.shape == (group.d_out, lora.rank)


def test_a_layer_that_did_not_change_gets_zeros_and_no_error() -> None:
    adapter = random_adapter(BASIS, 3, 1)
    nothing = random_adapter(BASIS, 0, 1)
    mixed = replace(adapter, layers=dict(adapter.layers) | {"a": nothing.layers["a"]})
    factors = to_lora(mixed, BASIS, 4).layers["a"]
    assert not (factors.B @ factors.A).any()
    assert factors.error == 0
    assert to_lora(nothing, BASIS, 4).rank == 1
    assert to_lora(nothing, BASIS, 4).error == 0


def test_both_factors_have_the_same_norm() -> None:
    factors = to_lora(random_adapter(BASIS, 40, 1), BASIS, 3).layers["c"]
    torch.testing.assert_close(factors.A.norm(dim=1), factors.B.norm(dim=0))


@pytest.mark.parametrize(
    ("values", "factors"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32)],
)
def test_factors_are_at_least_single_precision(values: torch.dtype, factors: torch.dtype) -> None:
    lora = to_lora(random_adapter(BASIS, 4, 1, values), BASIS, 2)
    assert {t.dtype for layer in lora.layers.values() for t in (layer.A, layer.B)} == {factors}


def test_progress_is_told_layer_by_layer() -> None:
    told: list[tuple[int, int]] = []
    to_lora(random_adapter(BASIS, 4, 1), BASIS, 2, lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def _reshaped(adapter: Adapter) -> Adapter:
    delta = adapter.layers["a"]
    shape = replace(delta.shape, r_in=delta.shape.r_in + 1)
    return replace(adapter, layers=dict(adapter.layers) | {"a": replace(delta, shape=shape)})


def test_what_does_not_fit_is_refused() -> None:
    adapter = random_adapter(BASIS, 4, 1)
    other = basis_of(*BASIS.groups.values(), seed=1)
    with pytest.raises(InvalidInput, match="rank: expected at least 1, got 0"):
        to_lora(adapter, BASIS, 0)
    with pytest.raises(WrongBasis, match=rf"{BASIS.digest}.*{other.digest}"):
        to_lora(adapter, other, 4)
    with pytest.raises(ShapeMismatch, match="layer 'a': expected 12 x 9"):
        to_lora(_reshaped(adapter), BASIS, 4)
