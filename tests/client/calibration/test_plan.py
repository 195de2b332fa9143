"""The plan, the batches and the frames of a calibration, without a model that runs."""

from __future__ import annotations

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
from sparsegrad_client.groups import auto_spec, find_groups
from sparsegrad_shared.calibrations import CalibrationStatus, GroupArrivals
from sparsegrad_shared.errors import Conflict, InvalidInput, UnsupportedModel
from sparsegrad_shared.framing import Frame

SIZES = st.integers(1, 6)


def _plan(steps: int, held_out: int) -> Plan:
    model = tiny_models.llama(blocks=4)
    return Plan(find_groups(model, auto_spec(model)), steps, held_out)


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
    assert plan.all_slots == sum(len(g.layers) for g in plan.groups) * (steps + held_out)


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
