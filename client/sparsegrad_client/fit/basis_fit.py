"""`BasisFit`: how well a basis fits the gradients of the training that goes on in it.

::

    fit = BasisFit(model)
    for batch in batches:
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        fit.step()

A sample is the gradients of one backward pass on one process, as those of a calibration are: with
gradient accumulation that of a step's first batch. Between samples the layers are not touched.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from sparsegrad_shared.errors import CorruptFile, InvalidInput
from sparsegrad_shared.report import BasisReport

from ..calibration.ranks import Ranks
from ..config import DEFAULT_DENSITY
from ..layers import SparseGradLinear, require_sparse_layers
from ..report.reading import cached_report
from ..sharding import unwrapped
from .energy import Energy, energy_of, total_of
from .judgement import BasisMisfit, GroupFitness, Misfit
from .observation import Observation

EVERY = 200  # steps; ``docs/fit.md`` has what a sample costs
FIRST = (1, 2, 4, 8, 16, 32, 64, 128)  # and these steps


class BasisFit:
    """Samples the gradients of a sparse model in training, and holds them against its basis.

    When a group's gradients no longer fit, it warns with `BasisMisfit`, once a group.

    Args:
        model: a model that `sparsify` made.
        calibration: how good the basis was when it was calibrated; ``"cached"`` reads the report
            that came with the basis; without one, shares are measured and nothing is judged.
        every: steps between two samples; the first steps have some more.
        process_group: the ranks that train together, such as
            ``torch.distributed.group.WORLD``: their samples are added up, and all find the same.
            None for this process alone.
        on_misfit: told of a misfit, in place of the warning.

    Attributes:
        groups: the groups' samples and verdicts, by name.

    Raises:
        InvalidInput: when the model has no sparse layers, or `every` is below 1.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        calibration: BasisReport | Literal["cached"] | None = "cached",
        every: int = EVERY,
        process_group: ProcessGroup | None = None,
        on_misfit: Callable[[Misfit], None] | None = None,
    ) -> None:
        if every < 1:
            raise InvalidInput(f"every: expected at least 1 step, got {every}")
        self._layers = list(require_sparse_layers(unwrapped(model)).values())
        self._basis = self._layers[0].basis
        report = _cached(self._basis.digest) if calibration == "cached" else calibration
        self.groups: Mapping[str, GroupFitness] = MappingProxyType(
            {name: _fitness(name, report) for name in self._basis.groups}
        )
        self._every = every
        self._ranks = Ranks(process_group, self._layers[0].coordinates.device)
        self._on_misfit = on_misfit or self._warn
        self._steps = self._since = 0
        self._observations: list[Observation] = []
        self._energies: dict[str, list[Energy]] = {}
        self._watch_when_due()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def misfits(self) -> tuple[Misfit, ...]:
        """What has been found so far."""
        return tuple(group.misfit for group in self.groups.values() if group.misfit)

    def step(self) -> Mapping[str, Energy] | None:
        """Say that an optimizer step was taken, or skipped; on all ranks alike.

        Returns:
            Each group's energy, when the step was sampled and its gradients said something.
        """
        self._steps += 1
        sample = self._sample() if self._is_due(self._steps) else {}
        for name, energy in sample.items():
            misfit = self.groups[name].add(self._steps, energy)
            if misfit is not None:
                self._on_misfit(misfit)
        self._watch_when_due()
        return sample or None

    def resume(self, steps: int, *, since: int = 0) -> None:
        """Go on from a checkpoint.

        Args:
            steps: optimizer steps that are behind.
            since: after how many of them the training began in this basis.
        """
        self.close()
        self._steps, self._since = steps, since
        self._watch_when_due()

    def close(self) -> None:
        """Look at no further gradients."""
        for observation in self._observations:
            observation.finish()
        self._observations, self._energies = [], {}

    def _is_due(self, step: int) -> bool:
        of_basis = step - self._since
        return of_basis in FIRST or of_basis % self._every == 0

    def _watch_when_due(self) -> None:
        if not self._is_due(self._steps + 1):
            return
        for layer in self._layers:
            observation = layer.observer = Observation(layer, self._take)
            self._observations.append(observation)

    def _take(self, layer: SparseGradLinear, G: Tensor, rotated: Tensor) -> None:
        density = self.groups[layer.group.name].density
        energy = energy_of(G, rotated, max(1, round(density * G.numel())))
        if energy is not None:
            self._energies.setdefault(layer.group.name, []).append(energy)

    def _sample(self) -> dict[str, Energy]:
        for observation in self._observations:
            observation.finish()
        energies = {name: total_of(self._energies.get(name, ())) for name in self.groups}
        self._observations, self._energies = [], {}
        if self._ranks.count > 1:
            energies = self._summed(energies)
        return {name: energy for name, energy in energies.items() if 0 < energy.total < math.inf}

    def _summed(self, energies: Mapping[str, Energy]) -> dict[str, Energy]:
        """Over all ranks."""
        rows = [[e.top, e.original, e.captured, e.total] for e in energies.values()]
        device = self._layers[0].coordinates.device
        summed = self._ranks.sum_(torch.tensor(rows, dtype=torch.float32, device=device))
        return {name: Energy(*row) for name, row in zip(energies, summed.tolist(), strict=True)}

    def _warn(self, misfit: Misfit) -> None:
        warnings.warn(
            f"basis {self._basis} no longer fits {misfit}. recalibrate(model, batches) makes the "
            "next version from the present data and goes on in it (sparsegrad-client train: "
            "--recalibrate)",
            BasisMisfit,
            stacklevel=4,
        )


def _cached(digest: str) -> BasisReport | None:
    try:
        return cached_report(digest)
    except CorruptFile:  # a basis that never came from a server, or whose file is damaged
        return None


def _fitness(name: str, report: BasisReport | None) -> GroupFitness:
    for group in report.groups if report else ():
        if group.name == name:
            return GroupFitness(name, group.density, group.basis.energy if group.basis else None)
    return GroupFitness(name, DEFAULT_DENSITY, None)
