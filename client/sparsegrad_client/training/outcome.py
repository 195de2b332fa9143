"""What a fine-tuning did, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from ..fit import BasisFit
from .evaluation import Evaluation


@dataclass(frozen=True)
class Fit:
    """How well a basis fits a group's gradients.

    Attributes:
        density: the share of the entries that count as the largest.
        energy: the share of ‖G‖² that the largest hold in the basis.
        original: the share that as many hold in the original space.
        calibration: `energy` on the calibration's held-out gradients; None where not known.
        misfit: the step at which the basis was found not to fit any more; None while it does.
    """

    density: float
    energy: float
    original: float
    calibration: float | None
    misfit: int | None


@dataclass(frozen=True)
class Recalibrated:
    """The training went on in another basis.

    Attributes:
        step: steps done by then.
        before: the basis before.
        after: the basis since.
        misfits: why, a line for each group.
        energies: held-out energies of the basis before and of the one after, by group.
    """

    step: int
    before: str
    after: str
    misfits: tuple[str, ...]
    energies: dict[str, tuple[float | None, float | None]]


@dataclass(frozen=True)
class Outcome:
    """What fine-tuning did.

    Attributes:
        before: the model with its new head, on the evaluation data.
        after: the trained model on the same data.
        losses: training loss of each optimizer step.
        engine: how the sparse layers computed; what ``auto`` came to.
        selection: which entries a step changed; what ``auto`` came to.
        sparse_values: values of the sparse layers' weights.
        entries: of those, how many one step changes.
        touched: of those, how many any step has changed, in the last basis.
        head_values: values of everything else that trains.
        model_values: values of the model.
        adapter_bytes: bytes of the adapter's files, of both where the basis changed.
        seconds: of training alone, of this process.
        fits: how well the basis fits the gradients of the last samples, by group.
        recalibrated: when and why the basis changed; None when it did not.
    """

    before: Evaluation
    after: Evaluation
    losses: list[float]
    engine: str
    selection: str
    sparse_values: int
    entries: int
    touched: int
    head_values: int
    model_values: int
    adapter_bytes: int
    seconds: float
    fits: dict[str, Fit]
    recalibrated: Recalibrated | None = None


def fits_of(fit: BasisFit) -> dict[str, Fit]:
    """What has been found of each group that was sampled."""
    return {
        name: Fit(
            density=group.density,
            energy=group.energy,
            original=group.original,
            calibration=group.calibration,
            misfit=group.misfit.step if group.misfit else None,
        )
        for name, group in fit.groups.items()
        if group.energy is not None and group.original is not None
    }
