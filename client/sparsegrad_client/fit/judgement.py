"""When a basis no longer fits a group's gradients.

Two conditions, both on medians over the last samples, so that one odd batch says nothing:

* the largest entries hold a smaller share in the basis than on the calibration's held-out
  gradients, and
* they hold less than `ADVANTAGE` of what as many hold in the original space, so that the basis
  brings the gradients together less well than no basis.

The first alone says little: how concentrated gradients are changes from batch to batch and falls
as training goes on, in any space. On MiniLM, batches of 16, a basis of the task itself gives shares
from 0.38 to 0.86 within 200 steps (0.87 in the calibration), and never less than 0.81 of what the
original space gives; a random basis gives 0.2 to 0.3 of it. ``docs/fit.md`` has all that was
measured.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median

from .energy import Energy

SAMPLES = 5  # that a median is over
ADVANTAGE = 0.75


class BasisMisfit(UserWarning):
    """A group's gradients no longer fit the basis that they are trained in."""


@dataclass(frozen=True)
class Misfit:
    """A group's gradients no longer fit.

    Attributes:
        step: when it was noticed.
        group: which group.
        energy: the share of ‖G‖² that the largest entries hold in the basis, a median.
        original: the share that as many hold in the original space, a median.
        calibration: `energy` on the calibration's held-out gradients.
        density: the share of the entries that count as the largest.
    """

    step: int
    group: str
    energy: float
    original: float
    calibration: float
    density: float

    def __str__(self) -> str:
        return (
            f"group {self.group!r}: the largest {self.density:.2%} of the entries hold "
            f"{self.energy:.1%} of the gradients' energy in the basis, {self.original:.1%} "
            f"without one, {self.calibration:.1%} when it was calibrated"
        )


@dataclass
class GroupFitness:
    """A group's samples, and whether it fits.

    Attributes:
        name: the group.
        density: the share of the entries that count as the largest.
        calibration: their share of the energy on the calibration's held-out gradients; None where
            not known, and nothing is judged.
        last: the last samples.
        misfit: what was found, once.
    """

    name: str
    density: float
    calibration: float | None
    last: deque[Energy] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    misfit: Misfit | None = None

    @property
    def energy(self) -> float | None:
        """The share that the largest entries hold in the basis; None before the first sample."""
        return median(sample.top_share for sample in self.last) if self.last else None

    @property
    def original(self) -> float | None:
        """The share that as many hold in the original space."""
        return median(sample.original_share for sample in self.last) if self.last else None

    @property
    def captured(self) -> float | None:
        """The share that the basis holds at all."""
        return median(sample.captured_share for sample in self.last) if self.last else None

    def add(self, step: int, sample: Energy) -> Misfit | None:
        """Take a sample; the misfit, when this is the one by which it shows."""
        self.last.append(sample)
        if self.misfit or self.calibration is None or len(self.last) < SAMPLES:
            return None
        energy, original = self.energy, self.original
        assert energy is not None  # noqa: S101  # there are samples
        assert original is not None  # noqa: S101
        if energy < self.calibration and energy < ADVANTAGE * original:
            self.misfit = Misfit(step, self.name, energy, original, self.calibration, self.density)
            return self.misfit
        return None
