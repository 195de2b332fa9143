"""What ``auto`` means, and why: each reason."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.layers.choice import choose, choose_feedback, room_for
from sparsegrad_client.layers.plain import PlainLayer, read_plain
from sparsegrad_shared.errors import UnsupportedModel


def _layers(second: torch.dtype = torch.float32) -> dict[str, PlainLayer]:
    return {
        name: read_plain(nn.Linear(3, 5).to(dtype), name)
        for name, dtype in (("up", torch.float32), ("down", second))
    }


def _quantised() -> dict[str, PlainLayer]:
    return {name: replace(layer, layout=None) for name, layer in _layers().items()}


@pytest.mark.parametrize(
    ("settings", "layers", "engine", "selection", "reason"),
    [
        ({}, _layers(), "folded", "dynamic", "every weight takes small steps"),
        ({"selection": "frozen"}, _layers(), "folded", "frozen", "every weight takes"),
        ({"accumulate": "selected"}, _layers(), "folded", "dynamic", "every weight takes"),
        ({"error_feedback": True}, _layers(), "folded", "dynamic", "every weight takes"),
        ({"error_feedback": False}, _layers(), "folded", "dynamic", "every weight takes"),
        ({"block": (2, 2)}, _layers(), "adapter", "block", "a block costs least"),
        ({"selection": "block"}, _layers(), "adapter", "block", "a block costs least"),
        ({"selection": "block"}, _layers(torch.float16), "adapter", "block", "a block costs"),
        ({}, _layers(torch.bfloat16), "adapter", "block", "layer 'down' is bfloat16"),
        ({}, _quantised(), "adapter", "block", "layer 'up' is quantised (Linear)"),
        ({"engine": "adapter"}, _layers(), "adapter", "block", "as asked for"),
        ({"engine": "adapter"}, _quantised(), "adapter", "block", "as asked for"),
        ({"engine": "folded"}, _layers(), "folded", "dynamic", "as asked for"),
        ({"engine": "folded", "block": (2, 2)}, _layers(), "folded", "block", "as asked for"),
        (
            {"engine": "reference", "selection": "frozen"},
            _layers(torch.float64),
            "reference",
            "frozen",
            "as asked for",
        ),
    ],
)
def test_a_choice_and_its_reason(
    settings: dict[str, Any],
    layers: dict[str, PlainLayer],
    engine: str,
    selection: str,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="sparsegrad_client"):
        chosen = choose(SparseGradConfig(**settings), layers)
    assert (chosen.engine, chosen.selection) == (engine, selection)
    assert reason in chosen.reason
    assert caplog.messages == [f"engine {engine}, selection {selection}: {chosen.reason}"]


def test_gradients_that_would_not_fit_are_a_reason_for_a_block() -> None:
    def chosen(room: float, **settings: Any) -> tuple[str, str]:
        found = choose(SparseGradConfig(**settings), _layers(), room)
        return found.engine, found.selection

    # Four bytes each, in 80% of the room.
    assert chosen(math.inf) == ("folded", "dynamic")
    assert chosen(5) == ("folded", "dynamic")
    assert chosen(4) == ("adapter", "block")
    assert "would not fit" in choose(SparseGradConfig(), _layers(), 4).reason
    # What was asked for is not second-guessed.
    assert chosen(0, selection="dynamic") == ("folded", "dynamic")
    assert chosen(0, engine="folded") == ("folded", "dynamic")


def test_error_feedback_that_would_not_fit_is_left_out_and_said_unless_it_was_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    left, insists = SparseGradConfig(), SparseGradConfig(error_feedback=True)
    # 21 bytes each, in 80% of the room.
    assert choose_feedback(left, 27) is left
    assert choose_feedback(left) is left
    assert choose_feedback(insists, 4) is insists
    assert not caplog.messages
    assert choose_feedback(left, 26) == SparseGradConfig(error_feedback=False)
    assert "error_feedback=True insists" in caplog.text


def test_main_memory_has_room_for_any_number() -> None:
    assert room_for(nn.Linear(3, 5), 15, torch.device("cpu")) == math.inf


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_the_room_on_a_gpu_does_not_depend_on_what_is_free() -> None:
    model = nn.Linear(3, 5).cuda()
    device = model.weight.device
    before = room_for(model, 15, device)
    taken = torch.empty(1 << 26, device="cuda")
    assert room_for(model, 15, device) == before
    assert before * 15 > taken.nbytes


@pytest.mark.parametrize(
    "settings",
    [
        {"selection": "dynamic"},
        {"selection": "frozen"},
        {"accumulate": "selected"},
        {"error_feedback": True},
        {"engine": "folded"},
        {"engine": "reference"},
        {"engine": "folded", "selection": "block"},
    ],
)
@pytest.mark.parametrize(
    ("layers", "said"),
    [(_layers(torch.bfloat16), "'down'.*bfloat16"), (_quantised(), "'up'.*quantised")],
    ids=["bfloat16", "quantised"],
)
def test_what_would_lose_small_steps_is_refused(
    settings: dict[str, Any], layers: dict[str, PlainLayer], said: str
) -> None:
    with pytest.raises(UnsupportedModel, match=f"{said}.*(take|train it by)"):
        choose(SparseGradConfig(**settings), layers)
