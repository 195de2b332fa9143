"""``sparsegrad-client train``: fine-tune a model with a basis, and save the adapter."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sparsegrad_shared.errors import InvalidInput, UnsupportedModel
from sparsegrad_shared.references import BasisReference, parse_name
from sparsegrad_shared.terminal.progress import Phases
from sparsegrad_shared.terminal.results import Result
from sparsegrad_shared.terminal.tables import Table as ResultTable
from sparsegrad_shared.terminal.values import held_to

from . import completion
from .basis_options import REFERENCE_FORMS
from .options import (
    BatchSizeOption,
    DeviceOption,
    LabelColumnOption,
    MaxLengthOption,
    ModelOption,
    SeedOption,
    ServerOption,
    TextColumnsOption,
    split_columns,
)

if TYPE_CHECKING:
    from ..config import Engine, Selection, SparseGradConfig
    from ..data.tables import Table
    from ..fit import Misfit
    from ..training.evaluation import Metric
    from ..training.fine_tuning import Recalibration
    from ..training.tasks import Task

MetricChoice = Literal["auto", "accuracy", "matthews", "loss"]
EngineChoice = Literal["auto", "reference", "folded", "adapter"]
SelectionChoice = Literal["auto", "dynamic", "frozen", "block"]
MAX_HELD_OUT = 1000  # rows kept back for the evaluation when no data set is named for it
HELD_OUT_SHARE = 0.1


def train(
    model: ModelOption,
    basis: Annotated[
        str,
        typer.Option(
            "--basis",
            "-b",
            help=REFERENCE_FORMS,
            callback=held_to(BasisReference.parse),
            autocompletion=completion.references,
            show_default=False,
            rich_help_panel="What",
        ),
    ],
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            "-d",
            help="A jsonl, json, csv, tsv or txt file, or a hub id (id, id:split or "
            "id:config:split).",
            show_default=False,
            rich_help_panel="What",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="New folder for the adapter, the tokenizer and the model's config.",
            show_default=False,
            rich_help_panel="What",
        ),
    ],
    eval_dataset: Annotated[
        str | None,
        typer.Option(
            help="What to evaluate on; a tenth of the data, at most 1000 rows, is kept back for "
            "it unless said.",
            show_default=False,
            rich_help_panel="What",
        ),
    ] = None,
    text_columns: TextColumnsOption = "",
    label_column: LabelColumnOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Train on so many rows, drawn by the seed; on all unless said.",
            show_default=False,
            rich_help_panel="What",
        ),
    ] = None,
    eval_limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Evaluate on so many rows, drawn by the seed; on all unless said.",
            show_default=False,
            rich_help_panel="What",
        ),
    ] = None,
    density: Annotated[
        float | None,
        typer.Option(
            help="Share of a layer's entries that each step updates; 0.01, the paper's, unless "
            "the architecture has a setting of its own (LLaMA: 100,000 entries).",
            show_default=False,
            rich_help_panel="How",
        ),
    ] = None,
    entries: Annotated[
        int | None,
        typer.Option(
            help="The same as a number of entries.", show_default=False, rich_help_panel="How"
        ),
    ] = None,
    block: Annotated[
        str | None,
        typer.Option(
            help="Rows and columns that train, such as 192x64, for --selection block; unless said, "
            "a block of as many entries as above, chosen by the basis's energies.",
            show_default=False,
            rich_help_panel="How",
        ),
    ] = None,
    selection: Annotated[
        SelectionChoice,
        typer.Option(
            help="Which entries a step updates: dynamic, the largest of each step; frozen, those "
            "with the most energy in the first batches; block, the leading rows and columns; auto: "
            "block for the adapter engine, dynamic otherwise.",
            rich_help_panel="How",
        ),
    ] = "auto",
    no_error_feedback: Annotated[
        bool,
        typer.Option(
            "--no-error-feedback",
            help="Forget what a step does not update of its gradient, as the paper does, instead "
            "of adding it to the next one's: a smaller adapter, less memory, and worse in our "
            "runs.",
            rich_help_panel="How",
        ),
    ] = False,
    engine: Annotated[
        EngineChoice,
        typer.Option(
            help="How the layers compute: folded keeps plain float32 weights, adapter adds a small "
            "product beside frozen weights, reference is the paper's layer; auto: adapter for a "
            "block, folded otherwise.",
            rich_help_panel="How",
        ),
    ] = "auto",
    lr: Annotated[
        float,
        typer.Option(min=0.0, help="Learning rate of the sparse layers.", rich_help_panel="How"),
    ] = 1e-3,
    head_lr: Annotated[
        float, typer.Option(min=0.0, help="Learning rate of the head.", rich_help_panel="How")
    ] = 5e-4,
    epochs: Annotated[
        int, typer.Option(min=1, help="Passes over the data.", rich_help_panel="How")
    ] = 1,
    accumulation: Annotated[
        int, typer.Option(min=1, help="Batches an optimizer step.", rich_help_panel="How")
    ] = 1,
    batch_size: BatchSizeOption = 16,
    max_length: MaxLengthOption = None,
    metric: Annotated[
        MetricChoice,
        typer.Option(
            help="auto: accuracy for a classifier, the loss for a causal model.",
            rich_help_panel="How",
        ),
    ] = "auto",
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    server: ServerOption = None,
    merge: Annotated[
        bool,
        typer.Option(
            "--merge",
            help="Write the merged model too, a plain model that needs no SparseGrad.",
            rich_help_panel="What",
        ),
    ] = False,
    recalibrate: Annotated[
        bool,
        typer.Option(
            "--recalibrate",
            help="When the gradients no longer fit the basis, make the next version of it from "
            "the data and the model as they are then, publish it, and go on in it.",
            rich_help_panel="How",
        ),
    ] = False,
    recalibrate_name: Annotated[
        str | None,
        typer.Option(
            callback=held_to(parse_name),
            autocompletion=completion.names,
            help="What --recalibrate publishes, team/name; the basis's own name unless said.",
            show_default=False,
            rich_help_panel="How",
        ),
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Draw the training too: a page and PNGs in the output folder's report.",
            rich_help_panel="What",
        ),
    ] = False,
) -> Result:
    """Fine-tune a model with a basis, and save what changed as an adapter.

    Examples:
        sparsegrad-client train --model bert-base --basis team/bert-base-cola@1 --dataset train.tsv
        --eval-dataset dev.tsv --label-column label --metric matthews --output cola

        sparsegrad-client train --model bert-base --basis team/bert-base-layers@1 --engine adapter
        --dataset train.tsv --label-column label --output cola

        sparsegrad-client train --model llama-2-7b --basis team/llama:prod --dataset pairs.jsonl
        --text-columns question,answer --output answers --merge
    """
    from .loading import load_task, open_tables

    if recalibrate_name is not None and not recalibrate:
        raise InvalidInput("--recalibrate-name says what --recalibrate publishes: give that too")
    config = _config(density, entries, block, engine, selection, no_error_feedback)
    data, judged = open_tables(model, dataset, eval_dataset)
    from ..bases import fetch_basis
    from ..training.fine_tuning import FineTuning, fine_tune
    from ..training.loop import Schedule
    from ..training.output import check_output, save_merged

    check_output(output, recalibrating=recalibrate)
    fetched = fetch_basis(basis, server)
    with Phases() as phases:
        columns = split_columns(text_columns)
        task = load_task(model, data, columns, label_column, max_length, "float32", device, seed)
        how = FineTuning(
            config=config if density or entries or block else _sized(config, task),
            lr=lr,
            head_lr=head_lr,
            schedule=Schedule(epochs=epochs, accumulation=accumulation),
            metric=_metric(task, metric),
        )
        rows, held_out = _split(task, judged, seed)
        rows, held_out = rows.sample(limit, seed), held_out.sample(eval_limit, seed)
        outcome = fine_tune(
            task,
            fetched,
            how,
            train_on=task.batches(rows, batch_size=batch_size, seed=seed),
            evaluate_on=task.batches(held_out, batch_size=batch_size, shuffle=False),
            output=output,
            progress=phases,
            recalibration=_recalibration(recalibrate, recalibrate_name, server, phases),
        )
        merged = save_merged(task, output) if merge else None
        page = _report(output, phases) if report else None
    from ..report.training import OUTCOME_COLUMNS, outcome_rows
    from ..training.record import RECORD_FILE

    adapter, changed = output / "adapter", outcome.recalibrated is not None
    title = f"{task.place.id} on {task.table.id}, basis {fetched}"
    figures = outcome_rows(outcome, how.metric)
    return Result(
        data={
            "model": task.place.id,
            "dataset": task.table.id,
            "basis": str(fetched),
            "digest": fetched.digest,
            "metric": how.metric,
            "outcome": outcome,
            "adapter": adapter,
            "merged": merged,
            "record": output / RECORD_FILE,
            "page": page,
        },
        shown=[
            ResultTable(OUTCOME_COLUMNS, figures, title=title, numbers=2),
            *([f"before   {output / 'recalibration' / 'adapter'}"] if changed else []),
            f"adapter  {adapter}",
            *([f"merged   {merged}"] if merged else []),
            *([f"report   {page}"] if page else []),
        ],
        brief=[str(adapter)],
    )


def _recalibration(
    wanted: bool, name: str | None, server: str | None, phases: Phases
) -> Recalibration | None:
    from ..training.fine_tuning import Recalibration

    if not wanted:
        return None

    def say(misfit: Misfit) -> None:
        phases.say(f"step {misfit.step}: the basis no longer fits {misfit}")

    return Recalibration(name=name, server=server, on_misfit=say)


def _report(output: Path, phases: Phases) -> Path:
    from ..report.training_report import write_training_report

    return write_training_report(output, progress=phases)


def _config(
    density: float | None,
    entries: int | None,
    block: str | None,
    engine: Engine,
    selection: Selection,
    no_error_feedback: bool,
) -> SparseGradConfig:
    """What was asked for; a contradiction is found before anything is loaded."""
    from ..config import SparseGradConfig

    shape = None if block is None else _block(block)
    return SparseGradConfig(
        density=density,
        entries=entries,
        block=shape,
        engine=engine,
        selection=selection,
        error_feedback=False if no_error_feedback else "auto",
    )


def _block(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise InvalidInput(f"--block: expected rows and columns such as 192x64, got {text!r}")
    return int(match[1]), int(match[2])


def _sized(config: SparseGradConfig, task: Task) -> SparseGradConfig:
    """The config with as many entries as the architecture's own setting has, where it has one."""
    from ..presets import preset_for

    try:
        entries = preset_for(task.model.config).entries
    except UnsupportedModel:  # a basis whose layers were named by hand
        return config
    return config if entries is None else replace(config, density=None, entries=entries)


def _metric(task: Task, wanted: MetricChoice) -> Metric:
    if wanted in ("accuracy", "matthews") and task.classes is None:
        raise InvalidInput(
            f"--metric {wanted} is for classifiers: give --label-column, or take --metric loss"
        )
    return task.metric if wanted == "auto" else wanted


def _split(task: Task, judged: Table | None, seed: int) -> tuple[Table, Table]:
    """What to train on and what to evaluate on, of which some is kept back when there is none."""
    if judged is None:
        count = min(MAX_HELD_OUT, round(HELD_OUT_SHARE * len(task.table.rows)))
        return task.table.split(max(1, count), seed)
    task.check_columns(judged)
    return task.table, judged
