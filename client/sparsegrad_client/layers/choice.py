"""What ``auto`` means: the engine, the selection and error feedback for a model, and why."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from sparsegrad_shared.errors import UnsupportedModel

from ..config import ChosenSelection, SparseGradConfig
from .plain import PlainLayer

_LOG = logging.getLogger(__name__)

# Bytes that a dynamic step needs beside the model, for each coordinate: the gradient in the basis.
_GRADIENT_BYTES = 4
# And with error feedback: what steps leave of gradients and two moments (`MaskedAdam`), the change
# and whether there is one (`DenseVector`).
_FEEDBACK_BYTES = 4 + 2 * 4 + (4 + 1)
_SHARE_OF_ROOM = 0.8


@dataclass(frozen=True)
class Choice:
    """How a model's layers are to be trained.

    Attributes:
        engine: how the layers compute.
        selection: which entries train.
        reason: why, for people.
    """

    engine: Literal["reference", "folded", "adapter"]
    selection: ChosenSelection
    reason: str


def choose(
    config: SparseGradConfig, layers: Mapping[str, PlainLayer], room: float = math.inf
) -> Choice:
    """Settle what the config leaves to us, and log it.

    Args:
        config: what was asked for.
        layers: the layers to replace, by path.
        room: see `room_for`.

    Raises:
        UnsupportedModel: when the selection or the engine that was asked for needs weights that
            take small steps, and a layer's does not.
    """
    choice = _decide(config, layers, room)
    _LOG.info("engine %s, selection %s: %s", choice.engine, choice.selection, choice.reason)
    return choice


def _decide(config: SparseGradConfig, layers: Mapping[str, PlainLayer], room: float) -> Choice:
    selection = config.selection
    coarse = next(
        (f"layer {n!r} is {p.dtype}" for n, p in layers.items() if not p.is_trainable), ""
    )
    if selection == "auto":
        selection = "block" if config.wants_block else "dynamic"
        if config.engine == "auto" and selection == "dynamic":
            if coarse:
                return Choice("adapter", "block", f"{coarse}, where small steps are lost")
            if not _fits(_GRADIENT_BYTES, room):
                return Choice(
                    "adapter", "block", "the gradients of a dynamic selection would not fit"
                )
    if config.engine != "auto":
        if config.engine != "adapter":
            for name, layer in layers.items():
                layer.matrix(name)  # refuses a weight that cannot take small steps
        return Choice(config.engine, selection, "as asked for")
    if selection == "block":
        return Choice(
            "adapter", "block", "a block costs least as a small product beside the weight"
        )
    if coarse:
        raise UnsupportedModel(
            f"{coarse}, and selection={selection!r} adds small steps to the weights, which that "
            "would lose; take selection='block', or convert the model by model.float()"
        )
    return Choice("folded", selection, "every weight takes small steps, and folding is exact")


def choose_feedback(config: SparseGradConfig, room: float = math.inf) -> SparseGradConfig:
    """The config, without error feedback where that is left to us and would not fit; logs it.

    Args:
        config: what was asked for.
        room: see `room_for`.
    """
    if config.error_feedback != "auto" or _fits(_GRADIENT_BYTES + _FEEDBACK_BYTES, room):
        return config
    _LOG.warning("without error feedback, which would not fit; error_feedback=True insists")
    return replace(config, error_feedback=False)


def room_for(model: nn.Module, coordinates: int, device: torch.device) -> float:
    """Bytes for each coordinate on a GPU, beside the parameters that the model has there.

    Of all of the GPU's memory, not of what happens to be free: so that ranks with a GPU of the same
    kind, and a run that goes on from a checkpoint, choose alike. Main memory, which may be swapped,
    has room for any number.

    Args:
        model: a model.
        coordinates: of all layers that are to be replaced.
        device: theirs; other parts of the model may be elsewhere.
    """
    if device.type != "cuda":
        return math.inf
    held = sum(each.nbytes for each in model.parameters() if each.device == device)
    return (torch.cuda.get_device_properties(device).total_memory - held) / coordinates


def _fits(bytes_each: int, room: float) -> bool:
    return bytes_each <= _SHARE_OF_ROOM * room
