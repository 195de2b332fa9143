"""A model and a data set from the words of the command line, imported when they are needed."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..data.tables import Table
    from ..training.tasks import Task


def open_tables(model: str, *datasets: str | None) -> tuple[Table | None, ...]:
    """Read the data sets; before that, find out whether the hub answers, if it may be needed.

    All of them before the model is loaded, which may take minutes.

    Args:
        model: what `--model` says.
        datasets: what `--dataset` and the like say; None for one that was not given.
    """
    reach_hub(*(name for name in (model, *datasets) if name is not None))
    from ..data.tables import read_table

    return tuple(None if each is None else read_table(each) for each in datasets)


def reach_hub(*names: str) -> None:
    """Before anything is loaded: find out whether the hub answers, if a name may need it."""
    from .. import hub

    if any(not Path(name).expanduser().exists() for name in names):
        hub.go_offline_when_unreachable()
    quieten()


def load_task(
    model: str,
    table: Table | None,
    text_columns: Sequence[str],
    label_column: str | None,
    max_length: int | None,
    dtype: str,
    device: str,
    seed: int,
) -> Task:
    """Load the model for the task that the columns make."""
    import torch

    from ..models import find_model
    from ..training.tasks import prepare

    return prepare(
        find_model(model),
        table,
        text_columns=text_columns,
        label_column=label_column,
        max_length=max_length,
        dtype=getattr(torch, dtype),
        device=None if device == "auto" else device,
        seed=seed,
    )


def work_offline() -> None:
    """For a command that needs nothing from the hub: never ask it."""
    from ..hub import OFFLINE_VARIABLE

    os.environ.setdefault(OFFLINE_VARIABLE, "1")
    quieten()


def quieten() -> None:
    """No notes of the libraries about what they load: ours say what matters."""
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is imported
    # Where torchao is installed transformers imports it, and it tells of every kernel it lacks.
    for name in ("torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)
    import datasets
    import transformers

    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    datasets.logging.set_verbosity(logging.CRITICAL)  # it logs errors that it raises as well
    datasets.disable_progress_bars()
