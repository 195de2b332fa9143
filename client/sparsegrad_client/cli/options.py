"""Options that more than one subcommand takes, with the words that explain them."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from sparsegrad_shared.terminal.values import held_to

from . import completion

Device = Literal["auto", "cpu", "cuda", "mps"]
MOST_SEED = 2**32 - 1  # what NumPy takes


def _address(text: str) -> None:
    from ..service import ServiceConfig

    ServiceConfig(text)


ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        autocompletion=completion.models,
        help="Short name such as llama-2-7b, hub id, or folder.",
        show_default=False,
        rich_help_panel="What",
    ),
]
TextColumnsOption = Annotated[
    str,
    typer.Option(
        "--text-columns",
        help="Columns of text, separated by commas. One or a pair for classification; for a "
        "causal model the last is the answer that the loss looks at. May be left out when there "
        "is only one column of text.",
        show_default=False,
        rich_help_panel="What",
    ),
]
LabelColumnOption = Annotated[
    str | None,
    typer.Option(
        "--label-column",
        help="Column of the class; makes the model a classifier.",
        show_default=False,
        rich_help_panel="What",
    ),
]
BatchSizeOption = Annotated[
    int, typer.Option("--batch-size", min=1, help="Examples a batch.", rich_help_panel="How")
]
MaxLengthOption = Annotated[
    int | None,
    typer.Option(
        "--max-length",
        min=2,
        help="Tokens of an example; 128 for classification and 256 for a causal model unless said.",
        show_default=False,
        rich_help_panel="How",
    ),
]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed", min=0, max=MOST_SEED, help="Of every random choice.", rich_help_panel="How"
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option("--device", help="Where the model runs.", rich_help_panel="How"),
]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        envvar="SPARSEGRAD_SERVER",
        callback=held_to(_address),
        help="The team's server; one on this machine is started when none is named. The token "
        "is read from SPARSEGRAD_TOKEN only, so that it stands in no shell history.",
        show_default=False,
        rich_help_panel="Where",
    ),
]


def split_columns(text: str) -> tuple[str, ...]:
    """Column names from a comma-separated list."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
