"""The plan of a calibration, worked out before anything runs: groups, slots, the manifest.

At each step every layer of a group gives one gradient on every rank. In a group of L layers on R
ranks, slots are given out so::

    fitted     step s, rank r, layer p   (s·R + r)·L + p
    sums       rank r                    the next R slots, when gradients are summed
    held out   step s, rank r, layer p   the rest, in the order of the fitted ones

When gradients are summed, the first step's still go one by one: the report needs a sample. A
rank's sums are over all its further fitted steps, so each gradient counts once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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

Slot = tuple[str, int]  # a group's name, and an index in it

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
        ranks: how many processes give gradients at each step.
        rank: which of them this is.
        summed: whether a rank sends its gradients' sums in place of them.

    Raises:
        InvalidInput: when `steps` or `held_out` cannot be used.
    """

    groups: tuple[LayerGroup, ...]
    steps: int
    held_out: int
    ranks: int = 1
    rank: int = 0
    summed: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.held_out < 0:
            raise InvalidInput(
                "calibration needs at least one step, and no fewer than zero held-out ones; "
                f"got steps={self.steps}, held_out={self.held_out}"
            )
        if self.summed and self.steps < 2:
            raise InvalidInput(
                'send="sums" needs at least 2 steps, as the gradients of the first are sent one '
                f"by one; got steps={self.steps}"
            )

    @property
    def all_steps(self) -> int:
        """Fitted and held-out steps."""
        return self.steps + self.held_out

    def is_summed(self, step: int) -> bool:
        """Whether the gradients of a step go into the rank's sums."""
        return self._single_steps <= step < self.steps

    def slot(self, group: LayerGroup, position: int, step: int) -> int:
        """The slot of a layer's gradient at a step, on this rank, when it is sent by itself."""
        first, steps = (self._fitted(group), self.steps) if step >= self.steps else (0, 0)
        return first + ((step - steps) * self.ranks + self.rank) * len(group.layers) + position

    def sums_slot(self, group: LayerGroup) -> int:
        """The slot of this rank's sums, complete at the last fitted step."""
        return self._single_steps * self.ranks * len(group.layers) + self.rank

    @property
    def _single_steps(self) -> int:
        """Fitted steps whose gradients are sent one by one."""
        return 1 if self.summed else self.steps

    def _fitted(self, group: LayerGroup) -> int:
        single = self._single_steps * self.ranks * len(group.layers)
        return single + (self.ranks if self.summed else 0)

    def _held_out(self, group: LayerGroup) -> int:
        return self.held_out * self.ranks * len(group.layers)

    def own(self) -> dict[Slot, int]:
        """This rank's slots, and the step that completes each."""
        own = {
            (group.name, self.slot(group, position, step)): step
            for group in self.groups
            for step in range(self.all_steps)
            for position in range(len(group.layers))
            if not self.is_summed(step)
        }
        if self.summed:
            own |= {(group.name, self.sums_slot(group)): self.steps - 1 for group in self.groups}
        return own

    def manifest(
        self,
        name: str,
        model: ModelSource,
        dataset: DatasetSource,
        options: HosvdOptions,
        tags: Sequence[str] = (),
        ttl_seconds: float | None = None,
    ) -> CalibrationManifest:
        """What the server is told before gradients come."""
        groups = tuple(
            GroupSpec(
                name=group.name,
                layers=tuple(layer.path for layer in group.layers),
                d_out=group.d_out,
                d_in=group.d_in,
                dtype=dtype_name(group.layers[0].weight.dtype),
                gradients=self._fitted(group),
                held_out=self._held_out(group),
            )
            for group in self.groups
        )
        return CalibrationManifest(
            name=name,
            model=model,
            dataset=dataset,
            groups=groups,
            options=options,
            tags=tuple(tags),
            ttl_seconds=ttl_seconds,
        )

    def missing(self, status: CalibrationStatus) -> set[Slot]:
        """The slots, of all ranks, that have not arrived.

        Raises:
            Conflict: when `status` is of a calibration with another plan.
        """
        ours = {group.name: self._fitted(group) + self._held_out(group) for group in self.groups}
        theirs = {group.name: group.expected for group in status.groups}
        if ours != theirs:
            raise Conflict(
                f"calibration {status.id} cannot be resumed so: it expects {_slots(theirs)}, this "
                f"run has {_slots(ours)}; give the same model, spec, steps and held_out "
                "again, the same send, and as many ranks"
            )
        arrived = {(group.name, index) for group in status.groups for index in group.arrived}
        return {(name, index) for name, slots in ours.items() for index in range(slots)} - arrived

    def last_step(self, slots: set[Slot]) -> int:
        """The last step that completes one of the slots, on whichever rank."""
        ranks = (replace(self, rank=rank).own() for rank in range(self.ranks))
        return max(step for own in ranks for slot, step in own.items() if slot in slots)


def _slots(slots: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count} gradients" for name, count in slots.items())
