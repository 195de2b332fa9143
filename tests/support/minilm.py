"""Real gradients of a real model, few of them: MiniLM on Python's language reference."""

from __future__ import annotations

from pydoc_data.topics import topics
from typing import Literal

import datasets
import torch

from sparsegrad_client import Basis, calibrate
from sparsegrad_client.calibration.run import Progress
from sparsegrad_client.data.tables import Table
from sparsegrad_client.groups import auto_spec
from sparsegrad_client.quickstart.run import minilm
from sparsegrad_client.quickstart.topics import passages, split
from sparsegrad_client.training.tasks import Task, prepare

HELD_OUT = 2
_BATCH = 4  # examples: their factors are a third of what a gradient would be
_TOKENS = 24


def task(seed: int = 0) -> Task:
    """The task of telling from a passage which part of the reference it is from."""
    drawn, _ = split(passages(topics), seed=seed, train=16, held_out=1)
    columns = {"text": [p.text for p in drawn], "part": [p.part for p in drawn]}
    table = Table("python-reference-parts", datasets.Dataset.from_dict(columns))
    return prepare(minilm(), table, label_column="part", max_length=_TOKENS, device="cpu")


def calibrate_minilm(
    task: Task,
    server: str,
    token: str,
    name: str,
    *,
    steps: int = 4,
    seed: int = 0,
    share: Literal["role", "layer"] = "role",
    rank: int | None = None,
    tags: tuple[str, ...] = (),
    progress: Progress = lambda phase, completed, total: None,
) -> Basis:
    """Calibrate on a few batches, and have the basis published as `name`."""
    torch.manual_seed(seed)
    return calibrate(
        task.model,
        task.batches(task.table, batch_size=_BATCH, seed=seed),
        name,
        server=server,
        token=token,
        steps=steps,
        held_out=HELD_OUT,
        spec=auto_spec(task.model, share=share),
        rank=rank,
        source=task.model_source,
        dataset=task.dataset_source,
        tags=tags,
        progress=progress,
    )
