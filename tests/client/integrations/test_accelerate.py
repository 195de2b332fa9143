"""A plain loop under Hugging Face Accelerate: the same numbers, and exact resumption."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from support.same import assert_same
from support.trainer_runs import Sentences, sparse_bert, without_dropout
from torch import nn
from torch.utils.data import DataLoader

from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.layers import ENGINES
from sparsegrad_client.optim import build_optimizer

engines = pytest.mark.parametrize("engine", ENGINES)
ACCUMULATED = 2
CLIP = 0.05
EPOCH = 4  # steps: 24 sentences, 3 a batch, 2 batches a step


class Run:
    """A model, an optimizer, a schedule and data, as a script under Accelerate has them."""

    def __init__(self, engine: str, precision: str = "no") -> None:
        self.accelerator = Accelerator(
            cpu=True, gradient_accumulation_steps=ACCUMULATED, mixed_precision=precision
        )
        config = SparseGradConfig(entries=9, engine=engine)  # type: ignore[arg-type]
        model = sparse_bert(config).train()
        optimizer = build_optimizer(model, lr=1e-2, head_lr=5e-3)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.7)
        batches = DataLoader(Sentences(), batch_size=3, shuffle=True)
        self.model, self.optimizer, self.schedule, self.batches = self.accelerator.prepare(
            model, optimizer, schedule, batches
        )

    def epoch(self) -> None:
        for batch in self.batches:
            with self.accelerator.accumulate(self.model):
                self.accelerator.backward(self.model(**batch).loss)
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self.model.parameters(), CLIP)
                self.optimizer.step()
                self.schedule.step()
                self.optimizer.zero_grad()

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }


@pytest.fixture(autouse=True)
def _fresh_accelerate() -> Iterator[None]:
    """Accelerate's settings are the process's: leave none behind."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@engines
def test_a_run_goes_on_from_a_saved_state_to_the_bit(engine: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    straight = Run(engine)
    straight.epoch()
    straight.accelerator.save_state(str(tmp_path))
    straight.epoch()
    torch.manual_seed(2)
    resumed = Run(engine)
    resumed.accelerator.load_state(str(tmp_path))
    resumed.epoch()
    assert_same(resumed.state(), straight.state())


@engines
def test_a_step_is_the_plain_loops_step_on_accumulated_clipped_gradients(engine: str) -> None:
    run = Run(engine)
    without_dropout(run.model)
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    run.batches = [batch for batch, _ in zip(run.batches, range(ACCUMULATED), strict=False)]
    run.epoch()

    config = SparseGradConfig(entries=9, engine=engine)  # type: ignore[arg-type]
    model = without_dropout(sparse_bert(config)).train()
    assert_same(model.state_dict(), before)
    optimizer = build_optimizer(model, lr=1e-2, head_lr=5e-3)
    for batch in run.batches:
        (model(**batch).loss / ACCUMULATED).backward()
    nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimizer.step()
    assert_same(model.state_dict(), run.model.state_dict())


def test_under_autocast_it_trains_and_resumes_as_well(tmp_path: Path) -> None:
    torch.manual_seed(1)
    straight = Run("folded", "bf16")
    straight.epoch()
    straight.accelerator.save_state(str(tmp_path))
    straight.epoch()
    resumed = Run("folded", "bf16")
    resumed.accelerator.load_state(str(tmp_path))
    resumed.epoch()
    assert_same(resumed.state(), straight.state())
