"""What ``auto`` means: the engine, the selection and error feedback for a model, and why."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch

from sparsegrad_shared.errors import UnsupportedModel

from ..config import ChosenSelection, SparseGradConfig
from .plain import PlainLayer

_LOG = logging.getLogger(__name__)

# Bytes that a dynamic step needs beside the model, for each coordinate: the gradient in the basis.
_GRADIENT_BYTES = 4
# And with error feedback: what steps leave of gradients and two moments (`MaskedAdam`), the change
# and whether there is one (`DenseVector`).
_FEEDBACK_BYTES = 4 + 2 * 4 + (4 + 1)
_SHARE_OF_FREE_MEMORY = 0.8


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


def choose(config: SparseGradConfig, layers: Mapping[str, PlainLayer]) -> Choice:
    """Settle what the config leaves to us, and log it.

    Args:
        config: what was asked for.
        layers: the layers to replace, by path.

    Raises:
        UnsupportedModel: when the selection or the engine that was asked for needs weights that
            take small steps, and a layer's does not.
    """
    choice = decide(config, layers, _free_memory(next(iter(layers.values())).device))
    _LOG.info("engine %s, selection %s: %s", choice.engine, choice.selection, choice.reason)
    return choice


def decide(
    config: SparseGradConfig, layers: Mapping[str, PlainLayer], free_memory: float
) -> Choice:
    """`choose`, without a look at the machine.

    Args:
        config: see `choose`.
        layers: see `choose`.
        free_memory: bytes free on the layers' device.

    Raises:
        UnsupportedModel: see `choose`.
    """
    selection = config.selection
    coarse = next(
        (f"layer {n!r} is {p.dtype}" for n, p in layers.items() if not p.is_trainable), ""
    )
    if selection == "auto":
        selection = "block" if config.wants_block else "dynamic"
        if config.engine == "auto" and selection == "dynamic":
            if coarse:
                return Choice("adapter", "block", f"{coarse}, where small steps are lost")
            if not _fits(_GRADIENT_BYTES, layers.values(), free_memory):
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


def choose_feedback(config: SparseGradConfig, layers: Mapping[str, PlainLayer]) -> SparseGradConfig:
    """The config, without error feedback where that is left to us and would not fit; logs it.

    Args:
        config: what was asked for.
        layers: the layers to replace, by path.
    """
    settled = decide_feedback(config, layers, _free_memory(next(iter(layers.values())).device))
    if settled is not config:
        _LOG.info("without error feedback, which would not fit; error_feedback=True insists")
    return settled


def decide_feedback(
    config: SparseGradConfig, layers: Mapping[str, PlainLayer], free_memory: float
) -> SparseGradConfig:
    """`choose_feedback`, without a look at the machine.

    Args:
        config: see `choose_feedback`.
        layers: see `choose_feedback`.
        free_memory: bytes free on the layers' device.
    """
    needed = _GRADIENT_BYTES + _FEEDBACK_BYTES
    if config.error_feedback != "auto" or _fits(needed, layers.values(), free_memory):
        return config
    return replace(config, error_feedback=False)


def _fits(bytes_each: int, layers: Collection[PlainLayer], free_memory: float) -> bool:
    coordinates = sum(layer.shape[0] * layer.shape[1] for layer in layers)
    return bytes_each * coordinates <= _SHARE_OF_FREE_MEMORY * free_memory


def _free_memory(device: torch.device) -> float:
    """Bytes free on an accelerator; main memory, which may be swapped, is not held to any."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else math.inf
