"""Fine-tuning with a basis, from a task to an adapter on disk.

::

    OUTPUT/training.jsonl  the record, written as the training goes (`record`)
    OUTPUT/adapter/        the adapter (`sparsegrad_client.adapters`)
    OUTPUT/config.json     the model's config, with the classes of a classifier
    OUTPUT/results.json    what training did: an `Outcome`
    OUTPUT/tokenizer…      the tokenizer's files
    OUTPUT/merged/         the whole plain model and its tokenizer, when asked for

A training that was cut off leaves its record, and may begin again in the same folder.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor, nn

from sparsegrad_shared.errors import InvalidInput

from ..adapters import load_adapter, save_adapter
from ..basis import Basis
from ..config import SparseGradConfig
from ..convert import merge, sparsify
from ..data.batches import Batches
from ..fit import BasisFit
from ..layers import sparse_layers
from ..optim import build_optimizer, other_parameters
from ..warm_up import WARM_UP
from .account import Account, Plan, run_facts
from .evaluation import Evaluation, Metric, evaluate
from .loop import Schedule, steps
from .recording import Recorder, is_record
from .tasks import Task

Progress = Callable[[str, int, int], None]

ADAPTER_FOLDER = "adapter"
MERGED_FOLDER = "merged"
RESULTS_FILE = "results.json"


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
        touched: of those, how many any step has changed.
        head_values: values of everything else that trains.
        model_values: values of the model.
        adapter_bytes: bytes of the adapter's files.
        seconds: of training alone.
        fits: how well the basis fits the gradients of the last samples, by group.
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


def fine_tune(
    task: Task,
    basis: Basis,
    how: FineTuning,
    *,
    train_on: Batches,
    evaluate_on: Batches,
    output: Path,
    progress: Progress,
) -> Outcome:
    """Train the task's model in place and save the adapter.

    Args:
        task: the model and its tokenizer.
        basis: a basis for the model.
        how: how to fine-tune.
        train_on: what to train on.
        evaluate_on: what to measure on, before and after.
        output: the folder to make.
        progress: told (phase, completed, total).

    Raises:
        InvalidInput: when `output` holds something already.
        SparseGradError: when the basis does not fit the model.
    """
    check_output(output)
    model = task.model
    model_values = sum(parameter.numel() for parameter in model.parameters())
    sparsify(model, basis, how.config, warm_up=_warm_up(how.config, train_on))
    layers = list(sparse_layers(model).values())
    optimizer = build_optimizer(model, lr=how.lr, head_lr=how.head_lr)
    losses: list[float] = []
    with BasisFit(model) as fit:
        plan = _plan(task, how, train_on, model_values)
        with Recorder.start(output, run_facts(model, fit, plan)) as recorder:
            account = Account(recorder, model, fit)
            before = _measure(model, evaluate_on, how.metric, "evaluating before", progress)
            account.evaluation(before)
            began = monotonic()
            for step in steps(model, optimizer, train_on, how.schedule):
                losses.append(step.loss)
                account.step(step)
                progress("training", step.number, step.total)
            seconds = monotonic() - began
            after = _measure(model, evaluate_on, how.metric, "evaluating after", progress)
            account.evaluation(after)
            _save(task, output)
            account.end()
    outcome = Outcome(
        before=before,
        after=after,
        losses=losses,
        engine=layers[0].engine,
        selection=layers[0].selection,
        sparse_values=sum(layer.out_features * layer.in_features for layer in layers),
        entries=sum(layer.entries for layer in layers),
        touched=sum(len(layer.delta) for layer in layers),
        head_values=sum(parameter.numel() for parameter in other_parameters(model)),
        model_values=model_values,
        adapter_bytes=_folder_bytes(output / ADAPTER_FOLDER),
        seconds=seconds,
        fits=_fits(fit),
    )
    (output / RESULTS_FILE).write_text(json.dumps(asdict(outcome), indent=2) + "\n")
    return outcome


def _plan(task: Task, how: FineTuning, train_on: Batches, model_values: int) -> Plan:
    return Plan(
        model=task.place.id,
        dataset=task.table.id,
        model_values=model_values,
        steps=how.schedule.steps(len(train_on)),
        batch_size=train_on.batch_size,
        schedule=how.schedule,
        lr=how.lr,
        head_lr=how.head_lr,
        seed=train_on.seed,
        metric=how.metric,
    )


def _fits(fit: BasisFit) -> dict[str, Fit]:
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


def _warm_up(config: SparseGradConfig, train_on: Batches) -> list[dict[str, Tensor]]:
    """The batches that choose a frozen support; a block leads, and needs none."""
    return list(itertools.islice(train_on, WARM_UP)) if config.selection == "frozen" else []


def _save(task: Task, output: Path) -> None:
    """Write the adapter, and what it takes to build the model that it belongs to."""
    output.mkdir(parents=True, exist_ok=True)
    task.model.config.save_pretrained(output)
    task.tokenizer.save_pretrained(output)
    save_adapter(task.model, output / ADAPTER_FOLDER)


def save_merged(task: Task, output: Path) -> Path:
    """Merge the task's model in place, and write it whole; returns its folder."""
    folder = output / MERGED_FOLDER
    merge(task.model)
    task.model.save_pretrained(folder)
    task.tokenizer.save_pretrained(folder)
    return folder


@torch.no_grad()
def loaded_difference(
    trained: nn.Module, fresh: nn.Module, output: Path, basis: Basis, batches: Batches
) -> float:
    """Load the adapter into a fresh model and compare it with the trained one.

    Returns:
        The largest difference of their logits on the first batch.
    """
    load_adapter(fresh, output / ADAPTER_FOLDER, basis)
    batch = next(iter(batches))
    device = next(trained.parameters()).device
    moved = {name: tensor.to(device) for name, tensor in batch.items()}
    outputs = [model.eval()(**moved).logits for model in (trained, fresh.to(device))]
    return float((outputs[0] - outputs[1]).abs().max())


def check_output(output: Path) -> None:
    """Refuse a folder that holds something, before minutes are spent on training.

    The record of a training that was cut off is no hindrance: it is kept under another name.

    Raises:
        InvalidInput: when there is something at `output`.
    """
    if not output.exists():
        return
    foreign = not output.is_dir() or [
        path.name for path in output.iterdir() if not is_record(path.name)
    ]
    if foreign:
        raise InvalidInput(
            f"--output {output}: expected a new or empty folder; it holds something already"
        )


def _folder_bytes(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _measure(
    model: nn.Module, batches: Batches, metric: Metric, phase: str, progress: Progress
) -> Evaluation:
    return evaluate(model, _counted(batches, phase, progress), metric)


def _counted(batches: Batches, phase: str, progress: Progress) -> Iterator[dict[str, Tensor]]:
    for number, batch in enumerate(batches, start=1):
        yield batch
        progress(phase, number, len(batches))
