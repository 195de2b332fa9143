"""What a layer keeps of its adapters: large indices, entries that are none, other loaders."""

from __future__ import annotations

import pytest
import torch
from support.peft_layers import D_IN, D_OUT, Pass, adapted, identity_basis, linear, up_group
from torch import nn

from sparsegrad_client.basis import GroupBasis
from sparsegrad_client.integrations.peft import SparseGradPeftLayer
from sparsegrad_client.support import Support
from sparsegrad_shared.errors import InvalidInput, ShapeMismatch, UnsupportedModel, WrongBasis


def test_entries_beyond_what_a_float32_counts_stay_where_they_are() -> None:
    size = 4097
    last = size * size - 1
    assert int(torch.tensor(last - 1, dtype=torch.float32)) != last - 1
    group = identity_basis(size, torch.float16)
    layer = adapted(Pass(size), group, torch.tensor([last - 1, last]))
    saved = layer.state_dict()
    saved["sparsegrad_values.default"] = torch.tensor([2.0, 3.0])
    fresh = adapted(Pass(size), group, torch.tensor([0]))
    fresh.load_state_dict(saved)

    assert fresh.sparsegrad_indices["default"].dtype == torch.int32
    assert fresh.sparsegrad_indices["default"].tolist() == [last - 1, last]
    x = torch.zeros(1, size)
    x[0, -2:] = torch.tensor([1.0, 10.0])
    y = fresh(x)
    assert y[0, -1] == 2 * 1 + 3 * 10
    assert not y[0, :-1].any()


def test_entries_beyond_int32_are_kept_in_int64() -> None:
    size = 50_000
    # By column, as bases lie: it is not copied, and memory that nobody touches is not taken.
    nothing = torch.empty(size, size, dtype=torch.float16).T
    spectrum = torch.ones(size, dtype=torch.float64)
    group = GroupBasis("up", ("up",), nothing, nothing, spectrum, spectrum)
    places = torch.tensor([2**31 - 1, 2**31 + 5])
    layer = adapted(Pass(size), group, places)
    assert layer.sparsegrad_indices["default"].dtype == torch.int64
    assert torch.equal(layer.delta("default").indices, places)
    assert layer.subspace("default").support.rows.tolist() == [2**31 // size]


@pytest.mark.parametrize(
    ("indices", "values", "error", "said"),
    [
        ([0, 1], [1.0], ShapeMismatch, "as many indices as values"),
        ([0, D_OUT * D_IN], [1.0, 1.0], InvalidInput, "from 0 to 71"),
        ([3, 3], [1.0, 1.0], InvalidInput, "rising"),
        ([0, 1], [1.0, float("nan")], InvalidInput, "finite"),
    ],
)
def test_entries_that_are_none_are_refused_and_nothing_changes(
    indices: list[int], values: list[float], error: type[Exception], said: str
) -> None:
    layer = adapted(linear(), up_group(), Support.leading(2, 2).indices(D_IN))
    before = layer.delta("default")
    broken = {
        "sparsegrad_indices.default": torch.tensor(indices, dtype=torch.int32),
        "sparsegrad_values.default": torch.tensor(values),
    }
    with pytest.raises(error, match=rf"adapter 'default' of up.*{said}"):
        layer.load_state_dict(broken, strict=False)
    assert torch.equal(layer.delta("default").indices, before.indices)
    assert torch.equal(layer.delta("default").values, before.values)


def test_loading_entries_at_the_same_places_keeps_the_parameter_that_an_optimizer_has() -> None:
    layer = adapted(linear(), up_group(), Support.leading(2, 2).indices(D_IN))
    parameter, saved = layer.sparsegrad_values["default"], layer.state_dict()
    saved["sparsegrad_values.default"] = torch.arange(4.0)
    layer.load_state_dict(saved)
    assert layer.sparsegrad_values["default"] is parameter
    assert torch.equal(parameter.detach(), torch.arange(4.0))


def test_a_loader_that_sets_the_buffers_itself_is_noticed() -> None:
    group = up_group()
    layer = adapted(linear(), group, torch.arange(4))
    x = torch.randn(3, D_IN)
    layer.sparsegrad_values["default"] = nn.Parameter(torch.ones(4))
    layer.sparsegrad_indices["default"] = torch.tensor([1, 8, 9, 40], dtype=torch.int32)
    whole = torch.zeros(D_OUT * D_IN).index_fill(0, torch.tensor([1, 8, 9, 40]), 1.0)
    change = group.V @ whole.view(D_OUT, D_IN) @ group.U.T
    torch.testing.assert_close(layer(x), layer.base_layer(x) + x @ change.T)

    layer.sparsegrad_indices["default"] = torch.tensor([1, 8, 9, 400], dtype=torch.int32)
    with pytest.raises(InvalidInput, match="from 0 to 71"):
        layer(x)
    layer.sparsegrad_indices["default"] = torch.arange(4, dtype=torch.int32)
    layer.sparsegrad_basis["default"] = torch.zeros(32, dtype=torch.uint8)
    with pytest.raises(WrongBasis, match=f"sha256:{'0' * 64}"):
        layer(x)


def test_a_module_that_is_not_linear_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModel, match=r"layer 'norm' is a LayerNorm; expected a linear"):
        SparseGradPeftLayer(nn.LayerNorm(4), "norm")
