"""Adapters on one layer: the mathematics, large indices, low precision, other classes of layer."""

from __future__ import annotations

import warnings

import pytest
import torch
from support.sparse_models import basis_of, group_basis
from torch import Tensor, nn

from sparsegrad_client.basis import GroupBasis
from sparsegrad_client.integrations.peft import SparseGradPeftLayer
from sparsegrad_client.support import Support
from sparsegrad_shared.errors import InvalidInput, ShapeMismatch, UnsupportedModel, WrongBasis

D_OUT, D_IN = 9, 8


def _group(dtype: torch.dtype = torch.float32) -> GroupBasis:
    return group_basis("up", ("up",), D_OUT, D_IN, dtype=dtype)


def _linear(dtype: torch.dtype = torch.float32) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(D_IN, D_OUT, dtype=dtype).requires_grad_(False)


def _layer(base: nn.Module, group: GroupBasis, indices: Tensor) -> SparseGradPeftLayer:
    layer = SparseGradPeftLayer(base, "up")
    layer.add_adapter("default", basis_of(group), indices)
    return layer


def _identity_basis(size: int, dtype: torch.dtype) -> GroupBasis:
    eye = torch.eye(size, dtype=dtype)
    spectrum = torch.ones(size, dtype=torch.float64)
    return GroupBasis("up", ("up",), eye, eye, spectrum, spectrum)


class Pass(nn.Module):
    """Takes and gives `size` numbers; has no weight."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.in_features = self.out_features = size

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


@pytest.mark.parametrize("scattered", [False, True])
def test_a_step_of_plain_sgd_is_the_step_on_the_weight_in_the_basis(scattered: bool) -> None:
    group, base = _group(torch.float64), _linear(torch.float64)
    indices = torch.tensor([1, 8, 9, 40]) if scattered else Support.leading(3, 2).indices(D_IN)
    layer = _layer(base, group, indices)
    x = torch.randn(4, 5, D_IN, dtype=torch.float64)
    g = torch.randn(4, 5, D_OUT, dtype=torch.float64)
    optimizer = torch.optim.SGD(layer.sparsegrad_values.parameters(), lr=0.5)
    (layer(x) * g).sum().backward()
    optimizer.step()

    # Method, section 2: G̃ = Vᵀ gᵀ x U, and W += V ΔW̃ Uᵀ.
    gradient = group.V.T @ g.reshape(-1, D_OUT).T @ x.reshape(-1, D_IN) @ group.U
    change = torch.zeros(D_OUT * D_IN, dtype=torch.float64)
    change[indices] = -0.5 * gradient.flatten()[indices]
    weight = base.weight + group.V @ change.view(D_OUT, D_IN) @ group.U.T
    torch.testing.assert_close(layer(x), nn.functional.linear(x, weight, base.bias))
    torch.testing.assert_close(layer.get_delta_weight("default"), weight - base.weight)


def test_entries_beyond_what_a_float32_counts_stay_where_they_are() -> None:
    size = 4097
    last = size * size - 1
    assert int(torch.tensor(last - 1, dtype=torch.float32)) != last - 1
    group = _identity_basis(size, torch.float16)
    layer = _layer(Pass(size), group, torch.tensor([last - 1, last]))
    saved = layer.state_dict()
    saved["sparsegrad_values.default"] = torch.tensor([2.0, 3.0])
    fresh = _layer(Pass(size), group, torch.tensor([0]))
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
    nothing = torch.zeros(1).expand(size, size)  # a matrix of this size without its memory
    spectrum = torch.ones(size, dtype=torch.float64)
    group = GroupBasis("up", ("up",), nothing, nothing, spectrum, spectrum)
    places = torch.tensor([2**31 - 1, 2**31 + 5])
    layer = _layer(Pass(size), group, places)
    assert layer.sparsegrad_indices["default"].dtype == torch.int64
    assert torch.equal(layer.delta("default").indices, places)
    assert layer.subspace("default").support.rows.tolist() == [2**31 // size]


def test_merging_rounds_once_and_unmerging_takes_it_out_again() -> None:
    base = _linear()
    layer = _layer(base, _group(), Support.leading(3, 4).indices(D_IN))
    layer.sparsegrad_values["default"].data.normal_()
    x, before = torch.randn(5, D_IN), base.weight.clone()
    apart = layer(x)
    layer.merge(safe_merge=True)
    assert torch.equal(base.weight, before + layer.get_delta_weight("default"))
    torch.testing.assert_close(layer(x), apart)
    layer.unmerge()
    torch.testing.assert_close(base.weight, before)


def test_autocast_multiplies_in_its_type_and_gives_gradients_in_the_values_own() -> None:
    layer = _layer(_linear(), _group(), Support.leading(3, 4).indices(D_IN))
    layer.sparsegrad_values["default"].data.normal_()
    x = torch.randn(5, D_IN)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        U, _ = layer.subspace("default").directions(x.device, torch.bfloat16)
    y.float().sum().backward()
    assert (y.dtype, U.dtype) == (torch.bfloat16, torch.bfloat16)
    assert layer.sparsegrad_values["default"].grad.dtype == torch.float32
    torch.testing.assert_close(y.float(), layer(x), rtol=3e-2, atol=3e-2)


def test_torch_compile_makes_one_graph_of_it() -> None:
    layer = _layer(_linear(), _group(), Support.leading(3, 4).indices(D_IN))
    layer.sparsegrad_values["default"].data.normal_()
    x = torch.randn(5, D_IN)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))


def test_a_quantised_weight_takes_an_adapter_but_no_merge() -> None:
    torchao = pytest.importorskip("torchao.quantization")
    base = nn.Sequential(_linear().requires_grad_(True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torchao has to say about its own parts
        torchao.quantize_(base, torchao.Int8WeightOnlyConfig())
    layer = _layer(base[0], _group(), Support.leading(3, 4).indices(D_IN))
    layer.sparsegrad_values["default"].data.normal_()
    x = torch.randn(5, D_IN)
    expected = base(x) + x @ layer.get_delta_weight("default").T
    torch.testing.assert_close(layer(x), expected)
    layer(x).sum().backward()
    assert layer.sparsegrad_values["default"].grad.abs().sum() > 0
    with pytest.raises(UnsupportedModel, match=r"layer 'up'.*quantised.*nothing can be merged"):
        layer.merge()
    assert not layer.merged


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
    layer = _layer(_linear(), _group(), Support.leading(2, 2).indices(D_IN))
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
    layer = _layer(_linear(), _group(), Support.leading(2, 2).indices(D_IN))
    parameter, saved = layer.sparsegrad_values["default"], layer.state_dict()
    saved["sparsegrad_values.default"] = torch.arange(4.0)
    layer.load_state_dict(saved)
    assert layer.sparsegrad_values["default"] is parameter
    assert torch.equal(parameter.detach(), torch.arange(4.0))


def test_a_loader_that_sets_the_buffers_itself_is_noticed() -> None:
    group = _group()
    layer = _layer(_linear(), group, torch.arange(4))
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
