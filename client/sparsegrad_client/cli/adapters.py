"""``sparsegrad-client adapters``: what training saved, as data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sparsegrad_shared.errors import WrongUsage
from sparsegrad_shared.terminal.commands import Commands
from sparsegrad_shared.terminal.progress import Phases
from sparsegrad_shared.terminal.results import Result
from sparsegrad_shared.terminal.tables import Table

from . import adapter_report
from .options import ModelOption, ServerOption

ParametersChoice = Literal["agree", "first", "none"]
DType = Literal["float32", "bfloat16", "float16"]

app = Commands(
    name="adapters",
    help="Inspect, add and convert adapters.",
    epilog="Example: sparsegrad-client adapters show reviews/adapter",
)

AdapterArgument = Annotated[
    Path,
    typer.Argument(metavar="ADAPTER", help="The adapter's folder.", show_default=False),
]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", help="New folder to write.", show_default=False)
]


@app.command()
def show(adapter: AdapterArgument) -> Result:
    """Show an adapter: its basis, how it was trained, what it changes.

    Example:
        sparsegrad-client adapters show reviews/adapter
    """
    from ..adapters import read_adapter
    from ..report.adapters import (
        LAYER_COLUMNS,
        PARAMETER_COLUMNS,
        adapter_data,
        layer_rows,
        parameter_rows,
        summary,
    )

    found = read_adapter(adapter)
    said: list[str | Table] = [
        f"{label:9} {text}" for label, text in summary(found, adapter).items()
    ]
    said.append(Table(LAYER_COLUMNS, layer_rows(found), numbers=3))
    if found.parameters:
        said.append(Table(PARAMETER_COLUMNS, parameter_rows(found)))
    return Result(data=adapter_data(found, adapter), shown=said, brief=[found.basis_digest])


@app.command()
def add(
    adapters: Annotated[
        list[Path],
        typer.Argument(metavar="ADAPTER...", help="Folders of adapters.", show_default=False),
    ],
    output: OutputOption,
    weights: Annotated[
        str,
        typer.Option(
            help="A factor for each, separated by commas; 1 each unless said. Negative ones "
            "subtract, and 0.5,0.5 is the average of two.",
            show_default=False,
        ),
    ] = "",
    parameters: Annotated[
        ParametersChoice,
        typer.Option(
            help="Parameters outside the sparse layers (a head), which cannot be added: agree "
            "refuses adapters that differ in one, first keeps the first adapter's, none keeps "
            "none."
        ),
    ] = "agree",
) -> Result:
    """Add adapters on one basis, each with a weight, into a new one.

    Examples:
        sparsegrad-client adapters add french/adapter polite/adapter --output both

        sparsegrad-client adapters add a b c --weights 0.5,0.25,0.25 --output mean

        sparsegrad-client adapters add tuned unwanted --weights 1,-1 --parameters first
        --output less
    """
    factors = _factors(weights, len(adapters))
    from ..adapters import read_adapter
    from ..adapters.adapter import combine
    from ..folders import check_replaceable
    from ..report.adapters import adapter_data
    from ..report.tables import size_text

    check_replaceable(output)
    found = [read_adapter(path) for path in adapters]
    if parameters != "agree":
        kept = 1 if parameters == "first" else 0
        found[kept:] = [adapter.without_parameters() for adapter in found[kept:]]
    total = combine(found, factors)
    total.save(output)
    size = sum(part.stat().st_size for part in output.iterdir())
    said = f"{output}: {total.entries:,} entries on basis {total.basis_name}, {size_text(size)}"
    return Result(data=adapter_data(total, output), shown=[said], brief=[str(output)])


def _factors(text: str, count: int) -> list[float]:
    if not text:
        return [1.0] * count
    try:
        factors = [float(part) for part in text.split(",")]
    except ValueError:
        raise WrongUsage(f"--weights: expected numbers such as 0.5,0.5, got {text}") from None
    if len(factors) != count:
        raise WrongUsage(f"--weights {text}: expected one for each of {count} adapters")
    return factors


@app.command()
def merge(
    adapter: AdapterArgument,
    model: ModelOption,
    output: OutputOption,
    dtype: Annotated[
        DType, typer.Option(help="Data type of the weights that are written.")
    ] = "float32",
    server: ServerOption = None,
) -> Result:
    """Merge an adapter into the model that it was trained from: a plain model folder.

    The folder has the model and its tokenizer, and needs no SparseGrad. Adding is done in
    float32, whatever is written.

    Example:
        sparsegrad-client adapters merge reviews/adapter --model bert-base --output reviews-bert
    """
    from .loading import reach_hub

    reach_hub(model)
    import torch

    from ..adapters import read_adapter
    from ..adapters.merged import write_merged
    from ..bases import fetch_basis
    from ..folders import check_replaceable
    from ..models import find_model

    check_replaceable(output)
    found = read_adapter(adapter)
    place = find_model(model)
    with Phases() as phases:
        basis = fetch_basis(found.basis_digest, server, progress=phases)
        write_merged(
            found,
            place,
            basis,
            output,
            dtype=getattr(torch, dtype),
            names_from=adapter.absolute().parent,
            progress=lambda done, total: phases("merging", done, total),
        )
    return Result(
        data={"merged": output, "basis": basis.digest, "model": place.id},
        shown=[f"merged   {output}"],
        brief=[str(output)],
    )


@app.command("to-lora")
def to_lora(
    adapter: AdapterArgument,
    rank: Annotated[
        int, typer.Option("--rank", "-r", min=1, help="Of the LoRA, at most.", show_default=False)
    ],
    output: OutputOption,
    server: ServerOption = None,
) -> Result:
    """Convert an adapter to the nearest LoRA of a rank, and say how near that is.

    PEFT reads the folder: peft.PeftModel.from_pretrained(model, folder). The error is the part
    of the change, in Frobenius norm, that the rank cannot hold.

    Example:
        sparsegrad-client adapters to-lora reviews/adapter --rank 16 --output reviews-lora
    """
    from ..adapters import read_adapter, save_lora
    from ..adapters import to_lora as convert
    from ..bases import fetch_basis
    from ..folders import check_replaceable
    from ..report.adapters import LORA_COLUMNS, lora_rows

    check_replaceable(output)
    found = read_adapter(adapter)
    with Phases() as phases:
        basis = fetch_basis(found.basis_digest, server, progress=phases)
        lora = convert(
            found, basis, rank, lambda done, total: phases("factoring layers", done, total)
        )
    save_lora(lora, output)
    title = f"{output}: LoRA of rank {lora.rank}"
    layers = {
        name: {"norm": factors.norm, "error": factors.error}
        for name, factors in lora.layers.items()
    }
    return Result(
        data={"lora": output, "rank": lora.rank, "error": lora.error, "layers": layers},
        shown=[Table(LORA_COLUMNS, lora_rows(lora), title=title, numbers=2)],
        brief=[str(output)],
    )


app.command("report")(adapter_report.report)
