"""The plan, the batches and the frames of a calibration, without a model that runs."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load
from support import tiny_models
from torch import Tensor

from sparsegrad_client.calibration.batches import fingerprint, take
from sparsegrad_client.calibration.frames import (
    dense_frame,
    factored_frame,
    factors_are_smaller,
    gather_factors,
)
from sparsegrad_client.calibration.plan import Plan
from sparsegrad_client.groups import LayerGroup, auto_spec, find_groups
from sparsegrad_shared.calibrations import (
    CalibrationManifest,
    CalibrationStatus,
    DatasetSource,
    GroupArrivals,
    HosvdOptions,
    ModelSource,
)
from sparsegrad_shared.errors import Conflict, InvalidInput, UnsupportedModel
from sparsegrad_shared.framing import Frame

SIZES = st.integers(1, 6)


@cache
def _groups() -> tuple[LayerGroup, ...]:
    model = tiny_models.llama(blocks=4)
    return find_groups(model, auto_spec(model))


def _plan(steps: int, held_out: int, **ranks: Any) -> Plan:
    return Plan(_groups(), steps, held_out, **ranks)


def _status(arrived: dict[str, tuple[int, ...]], expected: int) -> CalibrationStatus:
    return CalibrationStatus.model_validate(
        {
            "id": "c1",
            "name": "team/x",
            "state": "open",
            "created": "2026-01-01T00:00:00Z",
            "groups": [
                GroupArrivals(name=name, expected=expected, arrived=indices, zero=0)
                for name, indices in arrived.items()
            ],
        }
    )


def _all_slots(plan: Plan) -> int:
    """As many as the server makes room for."""
    return sum(spec.gradients + spec.held_out for spec in _manifest(plan).groups)


@given(steps=SIZES, held_out=st.integers(0, 3))
def test_slots_number_the_gradients_and_the_fitted_ones_come_first(
    steps: int, held_out: int
) -> None:
    plan = _plan(steps, held_out)
    for group in plan.groups:
        layers = len(group.layers)
        slots = [
            plan.slot(group, position, step)
            for step in range(plan.all_steps)
            for position in range(layers)
        ]
        assert slots == list(range(plan.all_steps * layers))


@given(steps=SIZES, held_out=st.integers(0, 3), count=st.integers(1, 4))
def test_ranks_fill_distinct_slots_and_together_all(steps: int, held_out: int, count: int) -> None:
    plans = [_plan(steps, held_out, ranks=count, rank=rank) for rank in range(count)]
    filled = [slot for plan in plans for slot in plan.own()]
    assert len(filled) == len(set(filled)) == _all_slots(plans[0])
    for group in plans[0].groups:
        fitted = [
            plan.slot(group, position, step)
            for step in range(steps)
            for plan in plans
            for position in range(len(group.layers))
        ]
        assert fitted == list(range(steps * count * len(group.layers)))


@given(steps=st.integers(2, 6), held_out=st.integers(0, 3), count=st.integers(1, 4))
def test_sums_stand_for_the_fitted_steps_but_the_first(
    steps: int, held_out: int, count: int
) -> None:
    plans = [_plan(steps, held_out, ranks=count, rank=rank, summed=True) for rank in range(count)]
    plan = plans[0]
    assert [plan.is_summed(step) for step in range(plan.all_steps)] == [
        0 < step < steps for step in range(plan.all_steps)
    ]
    status = _status({group.name: () for group in plan.groups}, _all_slots(plan) // 2)
    assert {slot for plan in plans for slot in plan.own()} == plan.missing(status)
    for group, spec in zip(plan.groups, _manifest(plan).groups, strict=True):
        assert spec.gradients == count * (len(group.layers) + 1)
        assert spec.held_out == count * held_out * len(group.layers)
        sums = {plan.sums_slot(group) for plan in plans}
        assert sums == set(range(count * len(group.layers), spec.gradients))
        last = plan.last_step({(group.name, plans[-1].sums_slot(group))})
        assert last == steps - 1


def _manifest(plan: Plan) -> CalibrationManifest:
    return plan.manifest(
        "team/x",
        ModelSource(id="m", architecture="M"),
        DatasetSource(id="d", fingerprint="f"),
        HosvdOptions(),
    )


def test_one_step_cannot_be_summed() -> None:
    with pytest.raises(InvalidInput, match="at least 2 steps"):
        _plan(1, 0, summed=True)


def test_missing_slots_and_the_last_step_that_gives_them() -> None:
    plan = _plan(2, 1)
    status = _status({"up": (0, 1, 2, 3), "down": (0, 1, 2, 5)}, expected=6)
    missing = plan.missing(status)
    assert missing == {("up", 4), ("up", 5), ("down", 3), ("down", 4)}
    assert plan.last_step(missing) == 2
    assert plan.last_step({("down", 3)}) == 1
    with pytest.raises(Conflict, match="up: 7 gradients"):
        plan.missing(_status({"up": (), "down": ()}, expected=7))


@pytest.mark.parametrize(("steps", "held_out"), [(0, 1), (1, -1)])
def test_a_plan_without_steps_is_refused(steps: int, held_out: int) -> None:
    with pytest.raises(InvalidInput, match="at least one step"):
        _plan(steps, held_out)


def _loaded(frame: Frame) -> dict[str, Tensor]:
    return load(b"".join(bytes(piece) for piece in frame))


@given(
    calls=st.integers(1, 3),
    tokens=st.integers(1, 7),
    d_out=SIZES,
    d_in=SIZES,
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_factors_are_exact_and_rows_that_add_nothing_are_left_out(
    calls: int, tokens: int, d_out: int, d_in: int, seed: int, data: st.DataObject
) -> None:
    random = torch.Generator().manual_seed(seed)
    pairs = []
    for _ in range(calls):
        g = torch.randn(1, tokens, d_out, generator=random, dtype=torch.float64)
        x = torch.randn(1, tokens, d_in, generator=random, dtype=torch.float64)
        g[:, data.draw(st.lists(st.integers(0, tokens - 1)))] = 0
        pairs.append((g, x))
    sent = _loaded(factored_frame(gather_factors(pairs, torch.float64)))
    G = sum(g[0].t() @ x[0] for g, x in pairs)
    assert isinstance(G, Tensor)
    torch.testing.assert_close(sent["g"].t() @ sent["x"], G)
    assert len(sent["g"]) == max(1, sum(int(g.any(dim=2).sum()) for g, _ in pairs))


@given(tokens=st.integers(1, 40), d_out=SIZES, d_in=SIZES)
def test_the_smaller_form_is_the_one_of_fewer_bytes(tokens: int, d_out: int, d_in: int) -> None:
    dense = dense_frame(torch.zeros(d_out, d_in)).tensors
    factored = factored_frame((torch.zeros(tokens, d_out), torch.zeros(tokens, d_in))).tensors
    dense_bytes, factored_bytes = (
        sum(raw.data.nbytes for raw in tensors.values()) for tensors in (dense, factored)
    )
    assert factors_are_smaller(tokens, d_out, d_in) == (factored_bytes < dense_bytes)


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str
)
def test_a_frame_holds_the_tensors_bits_whatever_its_strides(dtype: torch.dtype) -> None:
    G = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).to(dtype).t()
    assert torch.equal(_loaded(dense_frame(G))["G"], G)


def test_a_data_type_that_is_not_sent_is_named() -> None:
    with pytest.raises(UnsupportedModel, match=r"torch\.complex64"):
        dense_frame(torch.zeros(1, 1, dtype=torch.complex64))


def test_the_fingerprint_tells_batches_apart_by_every_bit_that_matters() -> None:
    batch = {"input_ids": torch.tensor([[1, 2]]), "labels": torch.tensor([0])}
    same = dict(reversed(batch.items()))
    others = [
        batch | {"labels": torch.tensor([1])},
        batch | {"input_ids": torch.tensor([[1], [2]])},
        batch | {"input_ids": torch.tensor([[1, 2]], dtype=torch.int32)},
        {"input_ids": batch["input_ids"]},
        batch | {"use_cache": False},
    ]
    assert fingerprint([batch]) == fingerprint([same])
    assert len({fingerprint([batch]), *(fingerprint([other]) for other in others)}) == 6


def test_batches_are_read_again_only_when_they_can_be() -> None:
    batches = [{"i": 0}, {"i": 1}]
    assert take(batches, 3) == [{"i": 0}, {"i": 1}, {"i": 0}]
    assert take(iter(batches), 2) == batches
    for too_few in (iter(batches), []):
        with pytest.raises(InvalidInput, match="needs 3 batches"):
            take(too_few, 3)


def test_a_batch_that_is_no_mapping_is_refused_by_number() -> None:
    with pytest.raises(InvalidInput, match="batch 1: expected keyword arguments.*tuple"):
        take([{"i": 0}, (1, 2)], 2)  # type: ignore[list-item]
