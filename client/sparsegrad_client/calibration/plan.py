"""The plan of a calibration, worked out before anything runs: groups, slots, the manifest.

At each step every layer of a group sends one gradient. In a group of L layers the gradient of
layer p at step s has slot s·L + p: the fitted steps come first, then the held-out ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import torch

from sparsegrad_shared.calibrations import (
    CalibrationManifest,
    CalibrationStatus,
    DatasetSource,
    GroupSpec,
    HosvdOptions,
    ModelSource,
)
from sparsegrad_shared.errors import Conflict, InvalidInput, UnsupportedModel
from sparsegrad_shared.framing import DType

from ..groups import LayerGroup

_DTYPES: Mapping[torch.dtype, DType] = {getattr(torch, name): name for name in get_args(DType)}


def dtype_name(dtype: torch.dtype) -> DType:
    """What a data type is called when it is sent.

    Raises:
        UnsupportedModel: when gradients of it are not taken.
    """
    name = _DTYPES.get(dtype)
    if name is None:
        raise UnsupportedModel(f"gradients are {', '.join(get_args(DType))}; got {dtype}")
    return name


@dataclass(frozen=True)
class Plan:
    """What a calibration collects.

    Attributes:
        groups: the groups with their layers.
        steps: training steps that the basis is fitted on.
        held_out: steps after them that it is judged on.

    Raises:
        InvalidInput: when `steps` or `held_out` cannot be used.
    """

    groups: tuple[LayerGroup, ...]
    steps: int
    held_out: int

    def __post_init__(self) -> None:
        if self.steps < 1 or self.held_out < 0:
            raise InvalidInput(
                "calibration needs at least one step, and no fewer than zero held-out ones; "
                f"got steps={self.steps}, held_out={self.held_out}"
            )

    @property
    def all_steps(self) -> int:
        """Fitted and held-out steps."""
        return self.steps + self.held_out

    @property
    def all_slots(self) -> int:
        """Gradients in all."""
        return self.all_steps * sum(len(group.layers) for group in self.groups)

    def slot(self, group: LayerGroup, position: int, step: int) -> int:
        """The slot of a layer's gradient at a step."""
        return step * len(group.layers) + position

    def manifest(
        self, name: str, model: ModelSource, dataset: DatasetSource, options: HosvdOptions
    ) -> CalibrationManifest:
        """What the server is told before gradients come."""
        groups = tuple(
            GroupSpec(
                name=group.name,
                layers=tuple(layer.path for layer in group.layers),
                d_out=group.d_out,
                d_in=group.d_in,
                dtype=dtype_name(group.layers[0].weight.dtype),
                gradients=self.steps * len(group.layers),
                held_out=self.held_out * len(group.layers),
            )
            for group in self.groups
        )
        return CalibrationManifest(
            name=name, model=model, dataset=dataset, groups=groups, options=options
        )

    def missing(self, status: CalibrationStatus) -> set[tuple[str, int]]:
        """The slots (group, index) that have not arrived.

        Raises:
            Conflict: when `status` is of a calibration with another plan.
        """
        ours = {group.name: self.all_steps * len(group.layers) for group in self.groups}
        theirs = {group.name: group.expected for group in status.groups}
        if ours != theirs:
            raise Conflict(
                f"calibration {status.id} cannot be resumed so: it expects {_slots(theirs)}, this "
                f"run has {_slots(ours)}; give the same model, spec, steps and held_out again"
            )
        arrived = {(group.name, index) for group in status.groups for index in group.arrived}
        return {(name, index) for name, slots in ours.items() for index in range(slots)} - arrived

    def last_step(self, slots: set[tuple[str, int]]) -> int:
        """The last step that gives one of the slots."""
        layers = {group.name: len(group.layers) for group in self.groups}
        return max(index // layers[name] for name, index in slots)


def _slots(slots: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count} gradients" for name, count in slots.items())
