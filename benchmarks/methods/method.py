"""What a method is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from sparsegrad_client import Basis
from sparsegrad_client.groups import LayerGroup, Share


@dataclass(frozen=True)
class Setting:
    """What a method is asked to prepare.

    Attributes:
        model: changed in place.
        groups: the layers that are fine-tuned, by role.
        head: what trains beside them, in every method alike: a classifier's head.
        basis: for methods that need one.
        lr: learning rate of the layers.
        head_lr: that of the head.
        density: share of each layer's d_out × d_in that may be trained, where a method can choose.
        warm_up: batches that a method may choose its support by, before any step.
    """

    model: nn.Module
    groups: Sequence[LayerGroup]
    head: Sequence[nn.Parameter]
    basis: Basis | None
    lr: float
    head_lr: float
    density: float = 0.01
    warm_up: Sequence[Mapping[str, Tensor]] = ()

    @property
    def paths(self) -> list[str]:
        """Where the layers are in the model."""
        return [layer.path for group in self.groups for layer in group.layers]

    def entries_of(self, group: LayerGroup) -> int:
        """How many values a layer of the group may train."""
        return max(1, round(self.density * group.d_out * group.d_in))


@dataclass(frozen=True)
class Prepared:
    """A model ready to train.

    Attributes:
        optimizer: over everything that trains.
        values: how many values of the layers a step changes.
    """

    optimizer: Optimizer
    values: int


@dataclass(frozen=True)
class Method:
    """One way to fine-tune.

    Attributes:
        name: what tables call it.
        prepare: freezes and changes the model in place, and gives the optimizer.
        lr: where the search for a learning rate begins.
        share: what a basis belongs to, where it needs one.
        rank: columns of that basis; all when None.
        rate_of: the method whose learning rate it takes, as a variant of it; when None, its own
            is searched.
    """

    name: str
    prepare: Callable[[Setting], Prepared]
    lr: float
    share: Share | None = None
    rank: int | None = None
    rate_of: str | None = None


def train_only(setting: Setting, trained: Sequence[nn.Parameter]) -> Prepared:
    """These parameters and the head, by AdamW without decay on the former; the rest is frozen."""
    setting.model.requires_grad_(False)
    for parameter in (*trained, *setting.head):
        parameter.requires_grad_(True)
    groups: list[dict[str, Any]] = [
        {"params": list(trained), "lr": setting.lr, "weight_decay": 0.0}
    ]
    if setting.head:
        groups.append({"params": list(setting.head), "lr": setting.head_lr})
    return Prepared(AdamW(groups), sum(weight.numel() for weight in trained))
