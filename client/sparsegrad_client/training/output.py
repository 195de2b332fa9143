"""The folder that a fine-tuning writes.

::

    OUTPUT/training.jsonl  the record, written as the training goes (`record`)
    OUTPUT/adapter/        the adapter (`sparsegrad_client.adapters`)
    OUTPUT/config.json     the model's config, with the classes of a classifier
    OUTPUT/results.json    what training did: an `Outcome`
    OUTPUT/tokenizer…      the tokenizer's files
    OUTPUT/merged/         the whole plain model and its tokenizer, when asked for
    OUTPUT/recalibration/  when the basis changed: what was learned before (`switch`)

A training that was cut off leaves its record, and may begin again in the same folder.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from sparsegrad_shared.errors import InvalidInput

from ..adapters import load_adapter, save_adapter
from ..basis import Basis
from ..convert import merge
from ..data.batches import Batches
from .outcome import Outcome
from .recording import is_record
from .tasks import Task

ADAPTER_FOLDER = "adapter"
MERGED_FOLDER = "merged"
RESULTS_FILE = "results.json"
SWITCH_FOLDER = "recalibration"
SWITCH_FILE = "switch.json"


def awaits_recalibration(output: Path) -> bool:
    """Whether a training was cut off there after it left its basis."""
    left = (output / SWITCH_FOLDER / SWITCH_FILE).exists()
    return left and not (output / RESULTS_FILE).exists()


def check_output(output: Path, *, recalibrating: bool = False) -> None:
    """Refuse a folder that holds something, before minutes are spent on training.

    The record of a training that was cut off is no hindrance: it is kept under another name.

    Args:
        output: the folder.
        recalibrating: whether a training that was cut off after it left its basis is to go on.

    Raises:
        InvalidInput: when there is something at `output`.
    """
    if not output.exists():
        return
    if awaits_recalibration(output):
        if recalibrating:
            return
        raise InvalidInput(
            f"--output {output}: a training was cut off there while it changed its basis; give "
            "--recalibrate and the options that it had to go on with it, or another folder"
        )
    if not output.is_dir() or any(not is_record(path.name) for path in output.iterdir()):
        raise InvalidInput(
            f"--output {output}: expected a new or empty folder; it holds something already"
        )


def save_output(task: Task, output: Path) -> None:
    """Write the adapter, and what it takes to build the model that it belongs to."""
    output.mkdir(parents=True, exist_ok=True)
    task.model.config.save_pretrained(output)
    task.tokenizer.save_pretrained(output)
    save_adapter(task.model, output / ADAPTER_FOLDER)


def save_outcome(outcome: Outcome, output: Path) -> None:
    """Write what training did; a training is done when this is there."""
    (output / RESULTS_FILE).write_text(json.dumps(asdict(outcome), indent=2) + "\n")


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


def folder_bytes(folder: Path) -> int:
    """Bytes of the files in a folder; none where there is no folder."""
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
