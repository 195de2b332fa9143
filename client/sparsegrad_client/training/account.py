"""Keeping the record of a training: its facts, its steps, and how well its basis fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

from torch import nn

from ..fit import BasisFit, Energy, Misfit
from ..layers import SparseGradLinear, require_sparse_layers
from ..optim import other_parameters
from .evaluation import METRICS, Evaluation, Metric
from .loop import Schedule, Step
from .machine import peak_memory, this_machine, versions
from .record import (
    BasisFacts,
    BasisLine,
    EndLine,
    EvaluationLine,
    FitLine,
    GroupFacts,
    GroupFit,
    MisfitLine,
    RunFacts,
    StepLine,
)
from .recording import Recorder


@dataclass(frozen=True)
class Plan:
    """What a training is going to do, for the facts of its record.

    Attributes:
        model: name of the model.
        dataset: name of the data set.
        model_values: values of the model.
        steps: optimizer steps.
        batch_size: examples a batch.
        schedule: how long and how.
        lr: highest learning rate of the sparse layers.
        head_lr: the same of everything else that trains.
        seed: of the order of the data.
        metric: what is measured.
    """

    model: str
    dataset: str
    model_values: int
    steps: int
    batch_size: int
    schedule: Schedule
    lr: float
    head_lr: float
    seed: int
    metric: Metric


def run_facts(model: nn.Module, fit: BasisFit, plan: Plan) -> RunFacts:
    """The first line of a record.

    Args:
        model: the sparse model.
        fit: says how good the basis was when it was calibrated.
        plan: what the training is going to do.
    """
    layers = list(require_sparse_layers(model).values())
    head_values = sum(parameter.numel() for parameter in other_parameters(model))
    return RunFacts(
        started=datetime.now(UTC),
        model=plan.model,
        dataset=plan.dataset,
        basis=_basis_facts(layers[0]),
        engine=layers[0].engine,
        selection=layers[0].selection,
        groups={name: _group_facts(name, layers, fit) for name in fit.groups},
        steps=plan.steps,
        batch_size=plan.batch_size,
        accumulation=plan.schedule.accumulation,
        lr=plan.lr,
        head_lr=plan.head_lr if head_values else None,
        seed=plan.seed,
        metric=None if plan.metric == "loss" else METRICS[plan.metric],
        head_values=head_values,
        model_values=plan.model_values,
        versions=versions(),
        machine=this_machine(layers[0].coordinates.device),
    )


def _group_facts(name: str, layers: list[SparseGradLinear], fit: BasisFit) -> GroupFacts:
    own = [layer for layer in layers if layer.group.name == name]
    return GroupFacts(
        layers=len(own),
        values=sum(layer.out_features * layer.in_features for layer in own),
        entries=sum(layer.entries for layer in own),
        density=fit.groups[name].density,
        calibration=fit.groups[name].calibration,
    )


def _basis_facts(layer: SparseGradLinear) -> BasisFacts:
    return BasisFacts(reference=layer.basis.reference, digest=layer.basis.digest)


class Account:
    """Writes into the record what a training does, step by step.

    Args:
        recorder: the record.
        model: the sparse model.
        fit: the watch over the model's gradients; this calls its `step`.
        steps: steps of the run that are behind, in another basis.
        seconds: what they took.
    """

    def __init__(
        self,
        recorder: Recorder,
        model: nn.Module,
        fit: BasisFit,
        *,
        steps: int = 0,
        seconds: float = 0.0,
    ) -> None:
        self._recorder = recorder
        self._fit = fit
        self._layers = list(require_sparse_layers(model).values())
        self._device = self._layers[0].coordinates.device
        self._known: set[str] = set()
        self._steps = steps
        self._began = monotonic() - seconds
        fit.resume(steps, since=steps)

    def step(self, step: Step) -> tuple[Misfit, ...]:
        """Note an optimizer step; the groups that it showed not to fit any more."""
        self._steps = step.number
        self._recorder.write(
            StepLine(
                step=step.number,
                seconds=self._seconds,
                loss=step.loss,
                lr=step.lrs[0],
                head_lr=step.lrs[1] if len(step.lrs) > 1 else None,
                memory=peak_memory(self._device),
                updated=self._by_group(lambda layer: layer.entries),
                touched=self._by_group(lambda layer: layer.touched),
            )
        )
        sample = self._fit.step()
        if sample:
            self._recorder.write(FitLine(step=step.number, groups=_group_fits(sample)))
        found = tuple(misfit for misfit in self._fit.misfits if misfit.group not in self._known)
        for misfit in found:
            self._known.add(misfit.group)
            self._recorder.write(_misfit_line(misfit))
        return found

    def evaluation(self, evaluation: Evaluation) -> None:
        """Note what the model does on data after the steps so far."""
        self._recorder.write(
            EvaluationLine(
                step=self._steps,
                seconds=self._seconds,
                loss=evaluation.loss,
                score=evaluation.score,
            )
        )

    def basis(self) -> None:
        """Note that the training goes on in another basis."""
        known = {name: group.calibration for name, group in self._fit.groups.items()}
        self._recorder.write(
            BasisLine(
                step=self._steps,
                basis=_basis_facts(self._layers[0]),
                calibration={name: share for name, share in known.items() if share is not None},
            )
        )

    def end(self) -> None:
        """Note that the training came to its end."""
        self._recorder.write(EndLine(step=self._steps, seconds=self._seconds))

    @property
    def _seconds(self) -> float:
        return monotonic() - self._began

    def _by_group(self, count: Callable[[SparseGradLinear], int]) -> dict[str, int]:
        counts = dict.fromkeys(self._fit.groups, 0)
        for layer in self._layers:
            counts[layer.group.name] += count(layer)
        return counts


def _group_fits(sample: Mapping[str, Energy]) -> dict[str, GroupFit]:
    return {
        name: GroupFit(
            energy=energy.top_share,
            original=energy.original_share,
            captured=energy.captured_share,
        )
        for name, energy in sample.items()
    }


def _misfit_line(misfit: Misfit) -> MisfitLine:
    return MisfitLine(
        step=misfit.step,
        group=misfit.group,
        energy=misfit.energy,
        original=misfit.original,
        calibration=misfit.calibration,
    )
