"""Where gradients are kept: the contract that every backend passes.

`tensors` always maps the names that `FORM_TENSORS` gives for a form to arrays:

========  ====================================  =============================
form      tensors                               data type
========  ====================================  =============================
dense     `G` (d_out × d_in)                    the group's
factored  `g` (T × d_out), `x` (T × d_in)       the group's
sums      `A_in` (d_in × d_in),                 float32 or float64
          `A_out` (d_out × d_out)
========  ====================================  =============================

bfloat16 is `ml_dtypes.bfloat16`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import ml_dtypes
import numpy as np
import numpy.typing as npt

from sparsegrad_shared.calibrations import CalibrationManifest, GradientForm, GroupSpec
from sparsegrad_shared.framing import DType

from .footprint import Footprint, Holding

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]

NUMPY_TYPES: Mapping[DType, np.dtype[Any]] = {
    "float64": np.dtype("<f8"),
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}


class StagedGradient(Protocol):
    """A gradient that is written, but not yet in its slot."""

    def place(self) -> None:
        """Put it into its slot, replacing what a dead upload has left there.

        Quick, so that it can be done within the transaction that holds the slot. It is on disk
        when this returns.
        """


class GradientStore(ABC):
    """Gradients by calibration, group and index.

    Which slots hold a gradient, and of which form, is in the catalog: a store may hold left-overs
    of uploads that died, and nobody asks for those.
    """

    @abstractmethod
    def create(self, calibration_id: str, manifest: CalibrationManifest) -> None:
        """Make room for a new calibration; it is on disk when this returns."""

    @abstractmethod
    def stage(
        self, calibration_id: str, group: GroupSpec, index: int, tensors: Tensors
    ) -> AbstractContextManager[StagedGradient]:
        """Write a gradient aside; what was not placed when the context ends is removed."""

    @abstractmethod
    def read(
        self, calibration_id: str, group: GroupSpec, index: int, form: GradientForm
    ) -> dict[str, Array]:
        """A stored gradient, bit for bit.

        Raises:
            CorruptFile: when it is not there, or not what was written; names group and index.
            OSError: when it cannot be read.
        """

    @abstractmethod
    def delete(self, calibration_id: str) -> None:
        """Remove a calibration's gradients, if there are any."""

    @abstractmethod
    def calibrations(self) -> Iterator[str]:
        """The calibrations that there is anything of, in no order."""

    @abstractmethod
    def footprint(self, calibration_id: str) -> Footprint:
        """What a calibration takes up here."""

    @abstractmethod
    def holdings(self, calibration_id: str) -> Iterator[Holding]:
        """Whatever lies in a calibration's slots, halves and left-overs included, in no order."""

    @abstractmethod
    def discard(self, calibration_id: str, group: str, index: int, form: GradientForm) -> None:
        """Remove what lies in a slot of that form, if anything does."""

    def write(self, calibration_id: str, group: GroupSpec, index: int, tensors: Tensors) -> None:
        """Write a gradient into its slot; it is on disk when this returns."""
        with self.stage(calibration_id, group, index, tensors) as staged:
            staged.place()
