"""Which layers share a basis: a `LayerSpec` says it, `find_groups` finds them in a model.

A regex has to match a layer's *whole* path as `named_modules()` gives it (`re.fullmatch`), such as
``model.layers.3.mlp.up_proj``. A layer's block is the first path segment that is a number (3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from torch import nn
from transformers.pytorch_utils import Conv1D

from sparsegrad_shared.errors import InvalidInput, ShapeMismatch, UnsupportedModel
from sparsegrad_shared.references import SEGMENT

from .layers.plain import is_plain
from .presets import parse_blocks, preset_for

Share = Literal["role", "layer"]
_SHOWN = 8  # candidates that a message lists


@dataclass(frozen=True)
class LayerSpec:
    """Layers by regex.

    Attributes:
        groups: for each group, a regex that matches its layers' whole paths.
        blocks: which of the blocks that hold such layers, as a Python slice: ``"::3"`` is every
            third, from the first.
        share: ``"role"``: the layers of a group share one basis (the paper's way); ``"layer"``:
            each has its own, in groups ``up.0``, ``up.1``, …

    Raises:
        InvalidInput: when a name, a regex, `blocks` or `share` cannot be used.
    """

    groups: Mapping[str, str]
    blocks: str = ":"
    share: Share = "role"

    def __post_init__(self) -> None:
        if not self.groups:
            raise InvalidInput("a LayerSpec needs at least one group")
        for name, pattern in self.groups.items():
            if not re.fullmatch(SEGMENT, name):
                raise InvalidInput(f"a group's name is letters, digits, . _ -; got {name!r}")
            try:
                re.compile(pattern)
            except re.error as error:
                raise InvalidInput(f"group {name!r}: not a regex: {pattern!r}: {error}") from None
        if self.share not in ("role", "layer"):
            raise InvalidInput(f'share: expected "role" or "layer"; got {self.share!r}')
        parse_blocks(self.blocks)

    def pick(self, indices: Iterable[int]) -> frozenset[int]:
        """Those block indices that `blocks` selects."""
        return frozenset(sorted(set(indices))[parse_blocks(self.blocks)])


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer that sends gradients.

    Attributes:
        path: where it is in the model.
        module: an `nn.Linear` or GPT-2's `Conv1D`.
    """

    path: str
    module: nn.Module

    @property
    def weight(self) -> nn.Parameter:
        """The weight in the layer's own layout."""
        weight = self.module.weight
        if not isinstance(weight, nn.Parameter):
            raise UnsupportedModel(f"{self.path}: expected a weight, got {type(weight).__name__}")
        return weight

    @property
    def transposed(self) -> bool:
        """Whether the layer holds d_in × d_out (`Conv1D`)."""
        return isinstance(self.module, Conv1D)

    @property
    def shape(self) -> tuple[int, int]:
        """d_out and d_in."""
        first, second = self.weight.shape
        return (second, first) if self.transposed else (first, second)

    @property
    def block(self) -> int | None:
        """The first number in its path."""
        return next((int(part) for part in self.path.split(".") if part.isdecimal()), None)


@dataclass(frozen=True, eq=False)
class LayerGroup:
    """Layers of one shape that share a basis."""

    name: str
    layers: tuple[Layer, ...]
    d_out: int
    d_in: int


def auto_spec(model: nn.Module, *, blocks: str | None = None, share: Share = "role") -> LayerSpec:
    """The spec of the model's architecture.

    Args:
        model: a Hugging Face model.
        blocks: other blocks than the preset's.
        share: whether a basis is a role's or a layer's.

    Raises:
        UnsupportedModel: when there is no preset for it.
    """
    preset = preset_for(getattr(model, "config", None))
    return LayerSpec(preset.groups, preset.blocks if blocks is None else blocks, share)


def find_groups(model: nn.Module, spec: LayerSpec) -> tuple[LayerGroup, ...]:
    """The groups of a model. A module or weight that is reached twice is met once.

    Raises:
        InvalidInput: when a regex matches no layer, or two regexes the same one.
        ShapeMismatch: when the layers of a group have different shapes.
    """
    candidates = _distinct_layers(model)
    matched = {name: _match(name, pattern, candidates) for name, pattern in spec.groups.items()}
    _check_disjoint(matched)
    everything = [layer for layers in matched.values() for layer in layers]
    kept = spec.pick(layer.block for layer in everything if layer.block is not None)
    groups: list[LayerGroup] = []
    for name, layers in matched.items():
        chosen = [layer for layer in layers if layer.block is None or layer.block in kept]
        if not chosen:
            raise InvalidInput(
                f"group {name!r}: blocks={spec.blocks!r} leaves none of its {len(layers)} layers"
            )
        if spec.share == "role":
            groups.append(_group(name, chosen))
        else:
            groups.extend(_group(f"{name}.{i}", [layer]) for i, layer in enumerate(chosen))
    return tuple(groups)


def _distinct_layers(model: nn.Module) -> list[Layer]:
    layers: dict[int, Layer] = {}
    for path, module in model.named_modules():
        if is_plain(module):
            layers.setdefault(id(module.weight), Layer(path, module))
    return list(layers.values())


def _match(name: str, pattern: str, candidates: list[Layer]) -> list[Layer]:
    regex = re.compile(pattern)
    layers = [layer for layer in candidates if regex.fullmatch(layer.path)]
    if not layers:
        paths = [layer.path for layer in candidates]
        shown = get_close_matches(pattern, paths, _SHOWN, cutoff=0.0)
        raise InvalidInput(
            f"group {name!r}: no linear layer's whole path matches {pattern!r}; "
            f"the model has {len(paths)}, such as {', '.join(shown) or 'none'}"
        )
    return layers


def _check_disjoint(matched: Mapping[str, list[Layer]]) -> None:
    owner: dict[str, str] = {}
    for name, layers in matched.items():
        for layer in layers:
            if owner.setdefault(layer.path, name) != name:
                raise InvalidInput(f"{layer.path} is in two groups, {owner[layer.path]} and {name}")


def _group(name: str, layers: list[Layer]) -> LayerGroup:
    for layer in layers:
        if not layer.weight.is_floating_point() or layer.weight.is_meta:
            raise UnsupportedModel(
                f"{layer.path}: its weight is {layer.weight.dtype} on {layer.weight.device}; "
                "gradients need a floating-point weight that is loaded (not quantised, not meta)"
            )
        if layer.weight.dtype != layers[0].weight.dtype:
            raise ShapeMismatch(
                f"group {name!r}: {layers[0].path} is {layers[0].weight.dtype}, {layer.path} is "
                f"{layer.weight.dtype}; layers that share a basis have one data type"
            )
        if layer.shape != layers[0].shape:
            raise ShapeMismatch(
                f"group {name!r}: {layers[0].path} is {_times(layers[0])}, {layer.path} is "
                f"{_times(layer)}; layers that share a basis have one shape: split the group"
            )
    return LayerGroup(name, tuple(layers), *layers[0].shape)


def _times(layer: Layer) -> str:
    return " x ".join(map(str, layer.shape))
