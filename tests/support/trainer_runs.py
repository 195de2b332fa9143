"""Runs of the Hugging Face `Trainer` over a small sparse BERT, for tests; each is deterministic."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from support import tiny_models
from support.sparse_models import BERT_GROUPS, random_basis
from torch import Tensor, nn
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.convert import sparsify
from sparsegrad_client.integrations.trainer import SparseGradCallback
from sparsegrad_client.optim import build_optimizer

STEPS = 8
SAVE_EVERY = 4


class Sentences(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Twenty-four labelled sentences."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        batch = tiny_models.classification_batch(index, rows=1)
        return {name: tensor[0] for name, tensor in batch.items()}


def plain_bert(seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    return tiny_models.bert()


def sparse_bert(config: SparseGradConfig, *, seed: int = 0, basis: int = 0) -> PreTrainedModel:
    """A BERT with dropout, so that a run that goes on must also go on in the random numbers."""
    model = plain_bert(seed)
    sparsify(model, random_basis(model, BERT_GROUPS, seed=basis, dtype=torch.float32), config)
    return model


def without_dropout(model: PreTrainedModel) -> PreTrainedModel:
    """The same model, for comparisons across loops that draw random numbers differently."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def trainer_for(
    model: PreTrainedModel,
    folder: Path,
    *callbacks: TrainerCallback,
    optimizer: torch.optim.Optimizer | None = None,
    **arguments: Any,
) -> Trainer:
    settings = {
        "max_steps": STEPS,
        "save_steps": SAVE_EVERY,
        "logging_steps": 1,
        "per_device_train_batch_size": 3,
        "max_grad_norm": 0.05,  # small enough to clip at every step
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    return Trainer(
        model,
        TrainingArguments(output_dir=str(folder), **(settings | arguments)),
        train_dataset=Sentences(),
        eval_dataset=Sentences(),
        optimizers=(optimizer or build_optimizer(model, lr=1e-2, head_lr=5e-3), None),
        callbacks=list(callbacks) or None,
    )


class KillAfter(TrainerCallback):
    """Ends the process as a power cut would, after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: object, state: Any, control: object, **kwargs: object) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":  # a run of its own process, to be killed
    config = SparseGradConfig(entries=9, engine=sys.argv[2])
    trainer_for(
        sparse_bert(config), Path(sys.argv[1]), SparseGradCallback(), KillAfter(SAVE_EVERY + 2)
    ).train()
