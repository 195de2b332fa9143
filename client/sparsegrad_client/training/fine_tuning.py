"""Fine-tuning with a basis, from a task to an adapter on disk; see `output` for what is written."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor

from sparsegrad_shared.errors import CalibrationClosed, UnknownCalibration

from ..adapters import load_adapter
from ..bases import fetch_basis
from ..basis import Basis
from ..config import SparseGradConfig
from ..convert import sparsify
from ..data.batches import Batches
from ..fit import BasisFit, Misfit
from ..layers import sparse_layers
from ..optim import build_optimizer, other_parameters
from ..recalibration import name_to_publish, recalibrate
from ..warm_up import WARM_UP
from . import switch as switches
from .account import Account, Plan, run_facts
from .evaluation import Evaluation, Metric, evaluate
from .loop import Schedule, steps
from .outcome import Outcome, Recalibrated, fits_of
from .output import (
    ADAPTER_FOLDER,
    SWITCH_FOLDER,
    check_output,
    folder_bytes,
    save_outcome,
    save_output,
)
from .record import StepLine, read_record
from .recording import Recorder
from .switch import Switch
from .tasks import Task

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class FineTuning:
    """How to fine-tune.

    Attributes:
        config: of the sparse layers.
        lr: learning rate of the sparse layers.
        head_lr: learning rate of everything else that trains.
        schedule: how long.
        metric: what is measured before and after.
    """

    config: SparseGradConfig = field(default_factory=SparseGradConfig)
    lr: float = 1e-3
    head_lr: float = 5e-4
    schedule: Schedule = field(default_factory=Schedule)
    metric: Metric = "accuracy"


def _say_nothing(misfit: Misfit) -> None:
    return None


@dataclass(frozen=True)
class Recalibration:
    """What to do, once, when a group's gradients no longer fit the basis; see `recalibrate`.

    Attributes:
        name: what to publish the next version as; the basis's own name when None.
        server: where to.
        steps: steps that the new basis is fitted on.
        held_out: steps that it is judged on.
        on_misfit: told why.
    """

    name: str | None = None
    server: str | None = None
    steps: int = 30
    held_out: int = 3
    on_misfit: Callable[[Misfit], None] = _say_nothing


def fine_tune(
    task: Task,
    basis: Basis,
    how: FineTuning,
    *,
    train_on: Batches,
    evaluate_on: Batches,
    output: Path,
    progress: Progress,
    recalibration: Recalibration | None = None,
) -> Outcome:
    """Train the task's model in place and save the adapter.

    A training that was cut off after it left its basis goes on from there.

    Args:
        task: the model and its tokenizer.
        basis: a basis for the model.
        how: how to fine-tune.
        train_on: what to train on.
        evaluate_on: what to measure on, before and after.
        output: the folder to make.
        progress: told (phase, completed, total).
        recalibration: what to do when the basis no longer fits; a warning when None.

    Raises:
        InvalidInput: when `output` holds something already, or the basis has no name to publish
            its next version under.
        SparseGradError: when the basis does not fit the model, or see `recalibrate`.
    """
    source = task.dataset_source
    settings = switches.settings_digest(
        task.place.id, source, how, train_on.batch_size, train_on.seed, len(train_on.examples)
    )
    check_output(output, recalibrating=recalibration is not None)
    if recalibration is not None:
        name_to_publish(basis, recalibration.name)
    pending = switches.pending_switch(output, settings)
    values = sum(parameter.numel() for parameter in task.model.parameters())
    run = _Run(task, how, train_on, evaluate_on, output, progress, settings, values)
    done = pending or run.from_the_start(basis, recalibration)
    if isinstance(done, Switch):
        assert recalibration is not None  # noqa: S101  # or there would be no switch
        done = run.in_another_basis(basis, done, recalibration)
    save_outcome(done, output)
    return done


@dataclass
class _Run:
    task: Task
    how: FineTuning
    train_on: Batches
    evaluate_on: Batches
    output: Path
    progress: Progress
    settings: str
    model_values: int
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def from_the_start(self, basis: Basis, recalibration: Recalibration | None) -> Outcome | Switch:
        """Train to the end, or until the basis no longer fits, when there is to be another."""
        model, config = self.task.model, self.how.config
        sparsify(model, basis, config, warm_up=_warm_up(config, self.train_on))
        told = None if recalibration is None else recalibration.on_misfit
        with BasisFit(model, on_misfit=told) as fit:
            facts = run_facts(model, fit, self._plan())
            with Recorder.start(self.output, facts) as recorder:
                account = Account(recorder, model, fit)
                before = self._measure("evaluating before")
                account.evaluation(before)
                misfits = self._train(account, until_misfit=recalibration is not None)
                if not misfits:
                    return self._finish(account, fit, before)
        return switches.write_switch(
            self.output, model, self.settings, misfits, self.losses, before
        )

    def in_another_basis(
        self, basis: Basis, switch: Switch, recalibration: Recalibration
    ) -> Outcome:
        """Make the next version of the basis, and train in it from where the switch was."""
        model = self.task.model
        self.losses = list(switch.losses)
        record = read_record(self.output)
        seconds = record.of(StepLine)[-1].seconds
        with _taken_up_again(self.output):
            after = self._recalibrated(basis, switch, recalibration)
            with BasisFit(model) as fit, Recorder.resume(self.output, switch.step) as recorder:
                account = Account(recorder, model, fit, steps=switch.step, seconds=seconds)
                account.basis()
                torch.manual_seed(self.train_on.seed)  # however much of the above was left to do
                self._train(account)
                recalibrated = Recalibrated(
                    step=switch.step,
                    before=switch.shown,
                    after=str(after),
                    misfits=switch.misfits,
                    energies={
                        name: (record.run.groups[name].calibration, group.calibration)
                        for name, group in fit.groups.items()
                    },
                )
                return self._finish(account, fit, switch.before, recalibrated)

    def _recalibrated(self, basis: Basis, switch: Switch, recalibration: Recalibration) -> Basis:
        name = name_to_publish(basis, recalibration.name)
        if basis.digest != switch.basis:  # a name without a version is the next one's by now
            basis = fetch_basis(switch.basis, recalibration.server)
        learned = self.output / SWITCH_FOLDER / ADAPTER_FOLDER
        resume = switch.calibration if switch.name in (None, name) else None
        while True:
            self.task.restore()
            load_adapter(self.task.model, learned, basis)
            torch.manual_seed(self.train_on.seed)  # dropout, so that it can be taken up again
            try:
                return recalibrate(
                    self.task.model,
                    self.train_on,
                    name,
                    server=recalibration.server,
                    steps=recalibration.steps,
                    held_out=recalibration.held_out,
                    source=self.task.model_source,
                    dataset=self.task.dataset_source,
                    resume=resume,
                    opened=lambda calibration: switches.note(
                        self.output,
                        switch.model_copy(update={"calibration": calibration, "name": name}),
                    ),
                    progress=self.progress,
                )
            except (UnknownCalibration, CalibrationClosed):
                if resume is None:
                    raise
                resume = None  # it has expired meanwhile

    def _train(self, account: Account, *, until_misfit: bool = False) -> Sequence[Misfit]:
        """Go on to the end, or to the step that shows misfits; gives these."""
        model, how = self.task.model, self.how
        optimizer = build_optimizer(model, lr=how.lr, head_lr=how.head_lr)
        began = monotonic()
        done = len(self.losses)
        with closing(steps(model, optimizer, self.train_on, how.schedule, done=done)) as taken:
            for step in taken:
                self.losses.append(step.loss)
                misfits = account.step(step)
                self.progress("training", step.number, step.total)
                if misfits and until_misfit and step.number < step.total:
                    break
            else:
                misfits = ()
        self.seconds += monotonic() - began
        return misfits

    def _finish(
        self,
        account: Account,
        fit: BasisFit,
        before: Evaluation,
        recalibrated: Recalibrated | None = None,
    ) -> Outcome:
        model = self.task.model
        layers = list(sparse_layers(model).values())
        save_output(self.task, self.output)  # whatever becomes of measuring it
        after = self._measure("evaluating after")
        account.evaluation(after)
        account.end()
        folders = (self.output, self.output / SWITCH_FOLDER)
        return Outcome(
            before=before,
            after=after,
            losses=self.losses,
            engine=layers[0].engine,
            selection=layers[0].selection,
            sparse_values=sum(layer.out_features * layer.in_features for layer in layers),
            entries=sum(layer.entries for layer in layers),
            touched=sum(layer.touched for layer in layers),
            head_values=sum(parameter.numel() for parameter in other_parameters(model)),
            model_values=self.model_values,
            adapter_bytes=sum(folder_bytes(folder / ADAPTER_FOLDER) for folder in folders),
            seconds=self.seconds,
            fits=fits_of(fit),
            recalibrated=recalibrated,
        )

    def _plan(self) -> Plan:
        return Plan(
            model=self.task.place.id,
            dataset=self.task.table.id,
            model_values=self.model_values,
            steps=self.how.schedule.steps(len(self.train_on)),
            batch_size=self.train_on.batch_size,
            schedule=self.how.schedule,
            lr=self.how.lr,
            head_lr=self.how.head_lr,
            seed=self.train_on.seed,
            metric=self.how.metric,
        )

    def _measure(self, phase: str) -> Evaluation:
        batches = _counted(self.evaluate_on, phase, self.progress)
        return evaluate(self.task.model, batches, self.how.metric)


def _warm_up(config: SparseGradConfig, train_on: Batches) -> list[dict[str, Tensor]]:
    """The batches that choose a frozen support; a block leads, and needs none."""
    return list(itertools.islice(train_on, WARM_UP)) if config.selection == "frozen" else []


def _counted(batches: Batches, phase: str, progress: Progress) -> Iterator[dict[str, Tensor]]:
    for number, batch in enumerate(batches, start=1):
        yield batch
        progress(phase, number, len(batches))


@contextmanager
def _taken_up_again(output: Path) -> Iterator[None]:
    """Note on whatever cuts the training off how to go on."""
    try:
        yield
    except BaseException as error:
        error.add_note(
            f"What was learned before is kept in {output / SWITCH_FOLDER}; the same training "
            "with the same output folder goes on from there."
        )
        raise
