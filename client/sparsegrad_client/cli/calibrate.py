"""``sparsegrad-client calibrate``: from a model and a data set to a published basis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sparsegrad_shared.references import parse_name, parse_segment
from sparsegrad_shared.terminal.progress import Phases
from sparsegrad_shared.terminal.results import Result
from sparsegrad_shared.terminal.tables import Table
from sparsegrad_shared.terminal.values import held_to

from . import completion
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
from .torchrun import launched

if TYPE_CHECKING:
    from ..basis import Basis

DType = Literal["float32", "bfloat16", "float16"]


def calibrate(
    model: ModelOption,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "-d",
            help="A jsonl, json, csv, tsv or txt file, or a hub id (id, id:split or "
            "id:config:split). For a causal model Python's language reference when left out.",
            show_default=False,
            rich_help_panel="What",
        ),
    ] = None,
    text_columns: TextColumnsOption = "",
    label_column: LabelColumnOption = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            "-n",
            callback=held_to(parse_name),
            autocompletion=completion.names,
            help="What to publish the basis as, team/name; local/<model>-<data set> unless said.",
            show_default=False,
            rich_help_panel="What",
        ),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            help="A word that the basis can be found by; several times for several.",
            callback=held_to(parse_segment),
            show_default=False,
            rich_help_panel="What",
        ),
    ] = None,
    steps: Annotated[
        int,
        typer.Option(
            min=1, help="Training steps that the basis is fitted on.", rich_help_panel="How"
        ),
    ] = 30,
    held_out: Annotated[
        int,
        typer.Option(
            min=0, help="Further steps that the basis is judged on.", rich_help_panel="How"
        ),
    ] = 3,
    batch_size: BatchSizeOption = 16,
    max_length: MaxLengthOption = None,
    blocks: Annotated[
        str | None,
        typer.Option(
            help="Blocks of the model as a Python slice, such as ::3 for every third; the "
            "architecture's own default unless said.",
            show_default=False,
            rich_help_panel="How",
        ),
    ] = None,
    share: Annotated[
        Literal["role", "layer"],
        typer.Option(
            help="One basis for all layers of a role, or one for each layer.",
            rich_help_panel="How",
        ),
    ] = "role",
    rank: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Leading columns of each basis to keep; all unless said.",
            show_default=False,
            rich_help_panel="How",
        ),
    ] = None,
    energy: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Keep as many columns as hold this share of the gradients' energy.",
            show_default=False,
            rich_help_panel="How",
        ),
    ] = None,
    normalize: Annotated[
        Literal["none", "frobenius"],
        typer.Option(
            help="frobenius: every gradient counts alike, however large it is.",
            rich_help_panel="How",
        ),
    ] = "none",
    send: Annotated[
        Literal["auto", "sums"],
        typer.Option(
            help="sums: sums of gradients in place of the gradients, which is less to send and "
            "to store when there are many.",
            rich_help_panel="How",
        ),
    ] = "auto",
    dtype: Annotated[
        DType, typer.Option(help="Data type of the model's weights.", rich_help_panel="How")
    ] = "float32",
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    server: ServerOption = None,
    ttl_days: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Days that the server keeps the gradients; the basis stays.",
            show_default=False,
            rich_help_panel="Where",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            help="Go on with the calibration of this id, with the same options as before.",
            show_default=False,
            rich_help_panel="Where",
        ),
    ] = None,
) -> Result | None:
    """Calibrate a model: collect gradients, and publish the basis that the server finds in them.

    Started by torchrun, every process collects on rows of its own, and all make one basis.

    Examples:
        sparsegrad-client calibrate --model llama-2-7b

        sparsegrad-client calibrate --model bert-base --dataset train.tsv --label-column label
        --name team/bert-base-cola

        sparsegrad-client calibrate --model ./my-model --dataset pairs.jsonl
        --text-columns question,answer --blocks ::3

        torchrun --nproc-per-node 4 --no-python sparsegrad-client calibrate --model llama-2-7b
    """
    from ..presets import parse_blocks
    from .loading import load_task, open_tables

    if blocks is not None:
        parse_blocks(blocks)  # before anything is loaded
    (data,) = open_tables(model, dataset)
    with launched() as launch, Phases(launch.console) as phases:
        task = load_task(
            model, data, split_columns(text_columns), label_column, max_length, dtype, device, seed
        )
        if dataset is None:
            phases.say(
                "no --dataset given: calibrating on Python's language reference "
                f"({len(task.table.rows)} paragraphs)"
            )
        import torch

        from ..calibration import calibrate as collect
        from ..groups import auto_spec
        from ..training.tasks import default_basis_name

        rows = task.table.sample((steps + held_out) * batch_size * launch.count, seed)
        rows = rows.shard(launch.rank, launch.count)
        # Dropout, so that a resumed calibration repeats its steps.
        torch.manual_seed(seed + launch.rank)
        basis = collect(
            task.model,
            task.batches(rows, batch_size=batch_size, shuffle=False),
            name=name or default_basis_name(task.place, task.table),
            server=server,
            steps=steps,
            held_out=held_out,
            spec=auto_spec(task.model, blocks=blocks, share=share),
            rank=rank,
            energy=energy,
            normalize=normalize,
            send=send,
            source=task.model_source,
            dataset=task.dataset_source,
            tags=tag or (),
            ttl_days=ttl_days,
            resume=resume,
            process_group=launch.group,
            progress=phases,
        )
    return _result(basis, model) if launch.rank == 0 else None


def _result(basis: Basis, model: str) -> Result:
    from ..report.reading import cached_report
    from ..report.tables import REPORT_COLUMNS, report_rows

    report = cached_report(basis.digest)
    title = f"{basis}: share of held-out gradient energy in the largest entries"
    return Result(
        data={"basis": str(basis), "digest": basis.digest, "model": basis.model, "report": report},
        shown=[
            Table(REPORT_COLUMNS, report_rows(report), title=title, numbers=6),
            f"basis   {basis}",
            f"digest  {basis.digest}",
            f"next    sparsegrad-client train --model {model} --basis {basis} --dataset … "
            "--output …",
        ],
        brief=[str(basis)],
    )
