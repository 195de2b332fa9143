"""What the tests of faults calibrate: every gradient follows from a seed, so that none is kept.

A calibration's content follows from the seed and its number alone: what was stored can be
compared with what was sent without having kept either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsegrad_shared.calibrations import (
    CalibrationManifest,
    DatasetSource,
    GradientForm,
    GroupSpec,
    HosvdOptions,
    ModelSource,
)
from sparsegrad_shared.framing import Frame

from ..gradients import frame

Arrays = dict[str, npt.NDArray[Any]]

_OPTIONS = (
    HosvdOptions(),
    HosvdOptions(rank=5),
    HosvdOptions(energy=0.9),
    HosvdOptions(normalize="frobenius"),
)
# The forms that a group's slots take in turn.
_FORMS: dict[str, tuple[GradientForm, ...]] = {
    "up": ("dense", "factored", "dense"),
    "down": ("factored", "sums"),
}
SUMMED = 3  # gradients in one slot of sums


@dataclass(frozen=True)
class Contents:
    """The calibrations of one seed.

    Args:
        seed: what everything follows from.
        gradients: slots of each group that the basis is fitted on.
        held_out: slots of each group that it is judged on.
    """

    seed: int
    gradients: int = 8
    held_out: int = 2

    def manifest(self, number: int) -> CalibrationManifest:
        """What calibration `number` announces; bases of several calibrations share a name."""
        return CalibrationManifest(
            name=f"team/faults-{number % 3}",
            model=ModelSource(id="tiny", architecture="TinyModel"),
            dataset=DatasetSource(id="faults", fingerprint=f"{self.seed}-{number}"),
            groups=(self._group("up", 48, 32), self._group("down", 32, 40)),
            options=_OPTIONS[number % len(_OPTIONS)],
        )

    def slots(self, number: int) -> Iterator[tuple[str, int]]:
        """Every slot of a calibration: its group's name and its index."""
        for group in self.manifest(number).groups:
            for index in range(group.slots):
                yield group.name, index

    def form(self, group: GroupSpec, index: int) -> GradientForm:
        """The form that a slot's gradient has; nothing is judged on sums."""
        forms = _FORMS[group.name]
        return forms[index % len(forms)] if index < group.gradients else "dense"

    def tensors(self, number: int, name: str, index: int) -> Arrays:
        """The gradient in a slot."""
        manifest = self.manifest(number)
        group = next(group for group in manifest.groups if group.name == name)
        chance = np.random.default_rng([self.seed, number, group.d_out, index])
        form = self.form(group, index)
        if form == "dense":
            return {"G": _normal(chance, group.d_out, group.d_in)}
        if form == "factored":
            return {"g": _normal(chance, 4, group.d_out), "x": _normal(chance, 4, group.d_in)}
        stack = [_normal(chance, group.d_out, group.d_in) for _ in range(SUMMED)]
        if manifest.options.normalize == "frobenius":
            stack = [G / np.linalg.norm(G) for G in stack]
        return {"A_in": sum(G.T @ G for G in stack), "A_out": sum(G @ G.T for G in stack)}  # type: ignore[dict-item]

    def frame(self, number: int, name: str, index: int) -> Frame:
        """The gradient in a slot, as it is sent."""
        tensors = self.tensors(number, name, index)
        counts = {"count": str(SUMMED), "zero_count": "0"} if "A_in" in tensors else {}
        return frame(tensors, **counts)

    def _group(self, name: str, d_out: int, d_in: int) -> GroupSpec:
        return GroupSpec(
            name=name,
            layers=(f"encoder.0.{name}",),
            d_out=d_out,
            d_in=d_in,
            dtype="float32",
            gradients=self.gradients,
            held_out=self.held_out,
        )


def _normal(chance: np.random.Generator, rows: int, columns: int) -> npt.NDArray[np.float32]:
    """Entries whose columns fall in weight, so that the spectrum has no two alike."""
    weights = 0.9 ** np.arange(columns, dtype=np.float32)
    return chance.standard_normal((rows, columns), dtype=np.float32) * weights
