"""The report of a training, with pictures, from the record that it wrote.

::

    OUTPUT/training.jsonl       the record (`sparsegrad_client.training.record`)
    OUTPUT/report/index.html    the page
    OUTPUT/report/….png         its pictures

Of a training that goes on, or was cut off, it is a report of what there is so far; writing it
again replaces it. Importing this imports matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from ..training.record import (
    BasisFacts,
    BasisLine,
    EvaluationLine,
    FitLine,
    MisfitLine,
    RunFacts,
    StepLine,
    TrainingRecord,
    read_record,
)
from . import figures, gallery
from .page import Numbers, Picture, Report, Section
from .tables import Row, share_text, short_digest, size_text

REPORT_FOLDER = "report"

_Draw = Callable[[TrainingRecord], Figure | None]
_PICTURES: tuple[tuple[str, str, _Draw], ...] = (
    (
        "loss",
        "Loss of each step and of each evaluation; the metric, where there is one.",
        figures.losses,
    ),
    (
        "fit",
        "Energy in the largest entries of the training's own gradients, by group: in the basis, "
        "and held against what as many entries hold in the original space. Where it stays under "
        "the calibration's and under the original space's, the basis no longer fits.",
        figures.fit,
    ),
    (
        "entries-touched",
        "Entries of the sparse layers that the steps changed: all that any step has changed so "
        "far, and those of each step. The paper's figure 3, right.",
        figures.touched_so_far,
    ),
    ("learning-rate", "Learning rates over the steps.", figures.learning_rates),
    ("speed-and-memory", "Steps a second, and the peak of memory so far.", figures.machine),
)
_EVALUATION_COLUMNS = ("steps done", "loss", "metric")
_GROUP_COLUMNS = (
    "group", "layers", "weights", "entries a step may change", "touched in all", "share",
    "energy", "in the calibration",
)  # fmt: skip


def write_training_report(folder: Path, progress: gallery.Progress | None = None) -> Path:
    """Draw a training's record, and write the pictures and a page beside it.

    Args:
        folder: the training's output folder, which holds its record.
        progress: told (phase, pictures drawn, in all).

    Returns:
        The page.

    Raises:
        InvalidInput: when there is no record, or a folder ``report`` with foreign files.
        CorruptFile: when the record is damaged.
        OSError: when the disk refuses.
    """
    report = training_report(read_record(folder))
    ours = {gallery.PAGE_FILE, *(f"{name}.png" for name, _, _ in _PICTURES)}
    return gallery.write(report, folder / REPORT_FOLDER, replacing=ours, progress=progress)


def training_report(record: TrainingRecord) -> Report:
    """What the report of a training says and shows."""
    run = record.run
    parts: list[str | Picture | Numbers] = []
    if not record.finished:
        parts.append(f"This training has not come to its end: {_steps(record)}.")
    parts += [_misfit(line, record) for line in record.of(MisfitLine)]
    parts += [
        f"After step {line.step:,} it went on in another basis: {_basis(line.basis)}."
        for line in record.of(BasisLine)
    ]
    for name, caption, draw in _PICTURES:
        if (figure := draw(record)) is not None:
            parts.append(Picture(name, caption, partial(_given, figure)))
    evaluations = [_evaluation_row(line) for line in record.of(EvaluationLine)]
    if evaluations:
        columns = (*_EVALUATION_COLUMNS[:2], run.metric or _EVALUATION_COLUMNS[2])
        parts.append(Numbers("Evaluations", columns, evaluations))
    parts.append(Numbers("Groups", _GROUP_COLUMNS, _group_rows(record)))
    return Report(f"Training of {run.model}", _facts(record), [Section("Training", parts)])


def _given(figure: Figure) -> Figure:
    return figure


def _facts(record: TrainingRecord) -> dict[str, str]:
    run, machine = record.run, record.run.machine
    memory = "" if machine.memory is None else f", {size_text(machine.memory)} of memory"
    facts = {
        "data set": run.dataset,
        "basis": _basis(run.basis),
        "engine, selection": f"{run.engine}, {run.selection}",
        "steps": _steps(record),
        "batch": None if run.batch_size is None else _batch(run),
        "learning rate": _rates(run),
        "values that train": _values(run),
        "seed": None if run.seed is None else str(run.seed),
        "started": f"{run.started:%Y-%m-%d %H:%M %Z}",
        "machine": f"{machine.device}; {machine.processor}, {machine.cores} cores{memory}; "
        f"{machine.system}",
        "versions": ", ".join(f"{name} {version}" for name, version in run.versions.items()),
    }
    return {label: text for label, text in facts.items() if text}


def _basis(basis: BasisFacts) -> str:
    return f"{basis.reference or 'without a name'} ({short_digest(basis.digest)})"


def _misfit(line: MisfitLine, record: TrainingRecord) -> str:
    group = record.run.groups.get(line.group)
    later = any(change.step >= line.step for change in record.of(BasisLine))
    advice = "" if later else " Train with --recalibrate for a basis of this data."
    which = "" if group is None or group.density is None else f" {100 * group.density:g}%"
    return (
        f"From step {line.step:,} on, the basis no longer fits the gradients of group "
        f"{line.group}: their largest{which} entries hold {share_text(line.energy)} of the energy "
        f"in the basis, {share_text(line.original)} in the original space, and "
        f"{share_text(line.calibration)} when the basis was calibrated.{advice}"
    )


def _rates(run: RunFacts) -> str:
    rest = "" if run.head_lr is None else f"; {run.head_lr:g} for everything else"
    return f"at most {run.lr:g} for the sparse layers{rest}"


def _values(run: RunFacts) -> str:
    sparse = sum(group.entries for group in run.groups.values())
    return (
        f"{sparse:,} a step in the sparse layers, {run.head_values:,} elsewhere, "
        f"of the model's {run.model_values:,}"
    )


def _batch(run: RunFacts) -> str:
    batches = "" if run.accumulation == 1 else f", {run.accumulation} batches a step"
    return f"{run.batch_size} examples{batches}"


def _steps(record: TrainingRecord) -> str:
    steps = record.of(StepLine)
    done = steps[-1].step if steps else 0
    planned = "" if record.run.steps is None else f" of {record.run.steps:,}"
    seconds = f" in {steps[-1].seconds:,.0f} s" if steps else ""
    return f"{done:,}{planned} done{seconds}"


def _evaluation_row(line: EvaluationLine) -> Row:
    score = "-" if line.score is None else f"{line.score:.3f}"
    return (f"{line.step:,}", f"{line.loss:.4f}", score)


def _group_rows(record: TrainingRecord) -> list[Row]:
    steps, fits = record.of(StepLine), record.of(FitLine)
    touched = steps[-1].touched if steps else {}
    energies = {name: fit.energy for line in fits for name, fit in line.groups.items()}
    return [
        (
            name,
            f"{group.layers}",
            f"{group.values:,}",
            f"{group.entries:,}",
            f"{touched.get(name, 0):,}",
            share_text(touched.get(name, 0) / group.values),
            share_text(energies.get(name)),
            share_text(group.calibration),
        )
        for name, group in record.run.groups.items()
    ]
