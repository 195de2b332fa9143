"""The stored gradients of one group, as a computation reads them, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from sparsegrad_shared.calibrations import GradientForm, GroupSpec
from sparsegrad_shared.errors import SparseGradError

from ..catalog.tables import GradientRow
from ..hosvd import GramMatrices, gradient_from_factors
from ..store.gradients import GradientStore, Tensors


@dataclass(frozen=True)
class StoredGradient:
    """What a computation has to know of a stored gradient; no row, so that it can travel."""

    index: int
    form: GradientForm
    count: int
    zero_count: int

    @classmethod
    def of(cls, row: GradientRow) -> StoredGradient:
        """That of a row."""
        return cls(row.index, cast(GradientForm, row.form), row.count, row.zero_count)


class Steps(Protocol):
    """Where a computation says how far it is; raises when it must not go on."""

    def step(self, phase: str, completed: int, total: int) -> None:
        """Tell how far it is."""


@dataclass(frozen=True)
class Gradients:
    """The stored gradients of one group of a calibration.

    Attributes:
        store: where they are.
        calibration_id: the calibration.
        group: the group.
        patiently: reads one, again for as long as the store is away.
    """

    store: GradientStore
    calibration_id: str
    group: GroupSpec
    patiently: Callable[[Callable[[], Tensors]], Tensors]

    def add_to(self, gram: GramMatrices, gradient: StoredGradient) -> None:
        """Read a gradient and add it.

        Raises:
            SparseGradError: when it cannot be used; names it.
        """
        tensors = self._read(gradient)
        try:
            if gradient.form == "dense":
                gram.add_dense(tensors["G"])
            elif gradient.form == "factored":
                gram.add_factored(tensors["g"], tensors["x"])
            else:
                gram.add_sums(
                    tensors["A_in"],
                    tensors["A_out"],
                    gradient.count - gradient.zero_count,
                    zero_count=gradient.zero_count,
                )
        except SparseGradError as error:
            name = f"{self.group.name}/{gradient.index}"
            raise type(error)(f"gradient {name}: {error.message}") from error

    def dense(self, gradient: StoredGradient) -> NDArray[Any]:
        """A gradient, D_out × D_in, whichever of the two forms it is stored in."""
        tensors = self._read(gradient)
        return tensors["G"] if "G" in tensors else gradient_from_factors(tensors["g"], tensors["x"])

    def _read(self, gradient: StoredGradient) -> Tensors:
        return self.patiently(
            lambda: self.store.read(self.calibration_id, self.group, gradient.index, gradient.form)
        )
