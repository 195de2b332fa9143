"""Adapters as values: their arithmetic against dense matrices, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.adapters import dense, logits, random_adapter, random_delta, trained
from support.sparse_models import BERT_GROUPS, basis_of, group_basis, random_basis, tiny_bert
from torch import nn

from sparsegrad_client.adapters import (
    Adapter,
    LayerShape,
    adapter_of,
    average,
    load_adapter,
    read_adapter,
)
from sparsegrad_client.adapters.adapter import combine
from sparsegrad_client.adapters.files import CONFIG, TENSORS
from sparsegrad_client.basis import Basis
from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.convert import merge
from sparsegrad_shared.errors import (
    CorruptFile,
    InvalidInput,
    NotFound,
    ShapeMismatch,
    WrongBasis,
)

SMALL = basis_of(group_basis("up", ("a", "b"), 7, 5, ranks=(6, 4)))
WEIGHTS = st.floats(-3, 3, allow_nan=False).map(lambda weight: round(weight, 3))


@given(
    terms=st.lists(st.tuples(st.integers(0, 24), st.integers(0, 99), WEIGHTS), min_size=1),
)
def test_a_weighted_sum_is_that_of_the_dense_matrices(
    terms: list[tuple[int, int, float]],
) -> None:
    adapters = [random_adapter(SMALL, entries, seed) for entries, seed, _ in terms]
    weights = [weight for _, _, weight in terms]
    total = combine(adapters, weights)
    for name in SMALL.layers:
        deltas = [adapter.layers[name] for adapter in adapters]
        expected = sum(weight * dense(delta) for weight, delta in zip(weights, deltas, strict=True))
        torch.testing.assert_close(dense(total.layers[name]), expected)
        union = torch.cat([delta.indices for delta in deltas]).unique()
        assert torch.equal(total.layers[name].indices, union)


def test_operators_are_weighted_sums() -> None:
    a, b = (random_adapter(SMALL, 9, seed) for seed in (1, 2))
    for found, weights in (
        (a + b, (1, 1)),
        (a - b, (1, -1)),
        (0.5 * a + b * 2, (0.5, 2)),
        (average([a, b]), (0.5, 0.5)),
        (average([a, b], [1, 3]), (0.25, 0.75)),
        (-1 * a, (-1, 0)),
    ):
        for name in SMALL.layers:
            expected = weights[0] * dense(a.layers[name]) + weights[1] * dense(b.layers[name])
            torch.testing.assert_close(dense(found.layers[name]), expected)


def test_an_operation_changes_no_operand() -> None:
    a, b = (random_adapter(SMALL, 9, seed) for seed in (1, 2))
    before = [delta.values.clone() for x in (a, b) for delta in x.layers.values()]
    _ = 3 * (a + b)
    after = [delta.values for x in (a, b) for delta in x.layers.values()]
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))


@pytest.mark.parametrize("other", [1, 1.0, "adapter", None])
def test_only_adapters_are_added_and_only_by_numbers_scaled(other: object) -> None:
    a = random_adapter(SMALL, 9, 1)
    with pytest.raises(TypeError, match="unsupported operand"):
        a + other
    with pytest.raises(TypeError, match="unsupported operand|can't multiply"):
        a * a


def test_values_are_summed_in_the_wider_type() -> None:
    narrow = random_adapter(SMALL, 9, 1, torch.bfloat16)
    wide = random_adapter(SMALL, 9, 2, torch.float32)
    for total in (narrow + wide, wide + narrow):
        assert total.layers["a"].values.dtype == torch.float32
        expected = dense(narrow.layers["a"]).float() + dense(wide.layers["a"])
        assert torch.equal(dense(total.layers["a"]), expected)


def test_positions_past_what_32_bits_hold_are_kept(tmp_path: Path) -> None:
    shape = LayerShape(d_out=1 << 17, d_in=1 << 17, r_out=1 << 17, r_in=1 << 17)
    last = torch.tensor([3, shape.size - 1])
    delta = replace(random_delta(replace(shape, r_out=1, r_in=2), 2, 0), shape=shape, indices=last)
    adapter = Adapter(SMALL.digest, {"a": delta})
    (adapter + adapter).save(tmp_path / "both")
    found = read_adapter(tmp_path / "both").layers["a"]
    assert torch.equal(found.indices, last)
    assert torch.equal(found.values, 2 * delta.values)


# Whole models: what arithmetic means for the outputs.


@pytest.fixture(scope="module")
def basis() -> Basis:
    return random_basis(tiny_bert(), BERT_GROUPS)


@pytest.fixture(scope="module")
def pair(basis: Basis) -> tuple[Adapter, Adapter]:
    """Two adapters of one model, trained on different batches, heads and all."""
    first, second = (adapter_of(trained(tiny_bert(), basis, seed=seed)) for seed in (1, 2))
    return first, second


def _weights(model: nn.Module) -> dict[str, torch.Tensor]:
    plain = dict(tiny_bert().named_parameters())
    return {
        name: parameter - plain[name]
        for name, parameter in merge(model).named_parameters()
        if "dense.weight" in name
    }


def test_a_mean_of_adapters_is_the_mean_of_their_changes_of_the_weights(
    pair: tuple[Adapter, Adapter], basis: Basis
) -> None:
    first, second = pair
    mean = average([first, second.without_parameters()])
    changes = [
        _weights(load_adapter(tiny_bert(), adapter, basis)) for adapter in (first, second, mean)
    ]
    for name, change in changes[2].items():
        torch.testing.assert_close(change, (changes[0][name] + changes[1][name]) / 2)


def test_subtracting_what_was_added_gives_the_outputs_back(
    pair: tuple[Adapter, Adapter], basis: Basis
) -> None:
    first, second = pair
    other = second.without_parameters()
    back = load_adapter(tiny_bert(), first + other - other, basis)
    torch.testing.assert_close(logits(back), logits(load_adapter(tiny_bert(), first, basis)))


def test_heads_that_differ_are_refused_unless_one_is_left_out(
    pair: tuple[Adapter, Adapter], basis: Basis
) -> None:
    first, second = pair
    with pytest.raises(InvalidInput, match=r"both trained 'classifier.weight'.*without_param"):
        first + second
    total = first + second.without_parameters()
    for name, value in first.parameters.items():
        assert torch.equal(total.parameters[name], value)
    assert set((first.without_parameters() + second).parameters) == set(second.parameters)
    assert not (first.without_parameters() + second.without_parameters()).parameters
    loaded = load_adapter(tiny_bert(), total, basis)
    assert torch.equal(loaded.classifier.weight, first.parameters["classifier.weight"])


def test_heads_that_agree_are_kept_and_never_scaled(pair: tuple[Adapter, Adapter]) -> None:
    first, second = pair
    same = replace(second, parameters=first.parameters)
    for result in (first + same, first - same, 0.1 * first, average([first, same])):
        assert set(result.parameters) == set(first.parameters)
        for name, value in result.parameters.items():
            assert torch.equal(value, first.parameters[name])


def test_heads_of_one_value_in_two_types_do_not_agree(pair: tuple[Adapter, Adapter]) -> None:
    first, _ = pair
    single = {name: value.float() for name, value in first.parameters.items()}
    with pytest.raises(InvalidInput, match="both trained"):
        replace(first, parameters=single) + replace(
            first, parameters={name: value.double() for name, value in single.items()}
        )


def test_training_settings_model_and_reference_are_kept_when_they_agree(
    pair: tuple[Adapter, Adapter],
) -> None:
    first, second = (replace(a, parameters={}, basis_reference=None) for a in pair)
    total = first + second
    assert total.training == first.training == SparseGradConfig(entries=9)
    assert total.model == first.model == "tests/random"
    other = replace(
        second, training=SparseGradConfig(entries=8), model="other", basis_reference="team/b@1"
    )
    mixed = first + other
    assert mixed.training is None
    assert mixed.model is None
    assert mixed.basis_reference == "team/b@1"


def test_the_sample_of_the_weights_is_kept_when_all_began_with_the_same(
    pair: tuple[Adapter, Adapter], basis: Basis
) -> None:
    first, second = (adapter.without_parameters() for adapter in pair)
    other = adapter_of(trained(tiny_bert(seed=1), basis)).without_parameters()
    for name, delta in (first + second).layers.items():
        assert torch.equal(delta.sample, first.layers[name].sample)
    assert all(delta.sample is None for delta in (first + other).layers.values())


def test_a_sum_of_differently_trained_adapters_is_saved_and_loaded(
    pair: tuple[Adapter, Adapter], basis: Basis, tmp_path: Path
) -> None:
    first, second = pair
    other = replace(second, training=SparseGradConfig(entries=8), parameters={})
    total = first + other
    total.save(tmp_path / "total")
    assert json.loads((tmp_path / "total" / CONFIG).read_text())["training"] is None
    loaded = load_adapter(tiny_bert(), tmp_path / "total", basis)
    expected = load_adapter(tiny_bert(), replace(total, training=first.training), basis)
    assert torch.equal(logits(loaded), logits(expected))


# Refusals.


def _refused(adapters: list[Adapter], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        combine(adapters, [1.0] * len(adapters))


def test_two_bases_are_refused_by_both_names() -> None:
    a = random_adapter(SMALL, 3, 1)
    other = basis_of(group_basis("up", ("a", "b"), 7, 5, ranks=(6, 4)), seed=1)
    b = replace(random_adapter(other, 3, 1), basis_reference="team/other@2")
    _refused([a, b], WrongBasis, rf"{SMALL.digest}.*team/other@2 \({other.digest}")


def test_other_layers_and_other_shapes_are_refused_by_name() -> None:
    a = random_adapter(SMALL, 3, 1)
    fewer = replace(a, layers={"a": a.layers["a"]})
    _refused([a, fewer], InvalidInput, "only one of them has b")
    shape = LayerShape(d_out=7, d_in=5, r_out=6, r_in=5)
    wider = replace(a, layers=dict(a.layers) | {"b": random_delta(shape, 3, 0)})
    _refused([a, wider], ShapeMismatch, "layer 'b' is 7 x 5 in a basis of 6 x 4 in .* 6 x 5")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda a: combine([], []), "at least one adapter"),
        (lambda a: average([]), "at least one adapter"),
        (lambda a: combine([a], [1.0, 2.0]), "2 weights for 1 adapters"),
        (lambda a: average([a, a], [1.0]), "1 weights for 2 adapters"),
        (lambda a: average([a, a], [1.0, -1.0]), "sum to more than 0"),
        (lambda a: a * float("nan"), "finite weights"),
        (lambda a: a * float("inf"), "finite weights"),
    ],
)
def test_weights_that_mean_nothing_are_refused(
    make: Callable[[Adapter], Adapter], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        make(random_adapter(SMALL, 3, 1))


def test_an_overflow_is_refused_not_stored() -> None:
    a = random_adapter(SMALL, 3, 1, torch.float16)
    with pytest.raises(InvalidInput, match="layer 'a': expected finite values"):
        a * 1e6


# On disk.


def test_an_adapter_that_is_read_and_saved_is_the_same_file(
    pair: tuple[Adapter, Adapter], tmp_path: Path
) -> None:
    for folder in ("first", "second"):
        (pair[0] if folder == "first" else read_adapter(tmp_path / "first")).save(tmp_path / folder)
    for part in (TENSORS, CONFIG):
        first, second = ((tmp_path / folder / part).read_bytes() for folder in ("first", "second"))
        assert first == second


def test_a_file_from_before_a_setting_existed_has_its_default(
    pair: tuple[Adapter, Adapter], tmp_path: Path
) -> None:
    path = tmp_path / "old"
    pair[0].save(path)
    config = json.loads((path / CONFIG).read_text())
    config["training"] = {
        "density": 0.01, "entries": None, "engine": "folded", "selection": "dynamic",
        "train_bias": False, "trainable": "auto",
    }  # fmt: skip
    (path / CONFIG).write_text(json.dumps(config))
    expected = SparseGradConfig(density=0.01, engine="folded", selection="dynamic")
    assert read_adapter(path).training == expected


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"density": 7}, "training: density: expected a share"),
        ({"engine": "warp"}, "training.engine"),
        ({"densities": 1}, "training.densities"),
        ("dynamic", "training"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_the_file(
    training: object, said: str, pair: tuple[Adapter, Adapter], tmp_path: Path
) -> None:
    path = tmp_path / "spoiled"
    pair[0].save(path)
    config = json.loads((path / CONFIG).read_text()) | {"training": training}
    (path / CONFIG).write_text(json.dumps(config))
    with pytest.raises(CorruptFile, match=f"{CONFIG}: not the config of an adapter: {said}"):
        read_adapter(path)


def test_entries_that_are_not_as_many_as_promised_are_refused(
    pair: tuple[Adapter, Adapter], tmp_path: Path
) -> None:
    path = tmp_path / "spoiled"
    pair[0].save(path)
    config = json.loads((path / CONFIG).read_text())
    next(iter(config["layers"].values()))["entries"] += 1
    (path / CONFIG).write_text(json.dumps(config))
    with pytest.raises(CorruptFile, match="disagree about the number of entries"):
        read_adapter(path)


def test_a_folder_above_the_adapters_points_to_it(
    pair: tuple[Adapter, Adapter], tmp_path: Path
) -> None:
    pair[0].save(tmp_path / "run" / "adapter")
    with pytest.raises(NotFound, match=r"there is one in .*run/adapter"):
        read_adapter(tmp_path / "run")
