"""What a rank runs in tests of data-parallel training, and the same run in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from sparsegrad_client import SparseGradConfig, build_optimizer, sparsify
from sparsegrad_client.basis import GroupBasis
from sparsegrad_client.layers import sparse_layers

from .sparse_models import ARCHITECTURES, basis_of, batch_for, random_basis

ROWS = 4  # of each batch
Batch = dict[str, Tensor]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Run:
    """A training run that any number of processes may share.

    Args:
        seed: of model, basis and batches.
        architecture: a key of `ARCHITECTURES`.
        config: for `sparsify`.
        rows: rows of each batch that rank 0 takes; the rest is rank 1's.
        steps: optimizer steps.
        accumulate: batches a step.
        ddp: options for `DistributedDataParallel`.
    """

    seed: int = 0
    architecture: str = "bert"
    config: SparseGradConfig = field(default_factory=lambda: SparseGradConfig(density=0.1))
    rows: int = ROWS // 2
    steps: int = 20
    accumulate: int = 1
    ddp: dict[str, Any] = field(default_factory=dict)

    def model(self, seed: int | None = None) -> nn.Module:
        """The sparse model, its weights from the run's seed or another."""
        make, groups = ARCHITECTURES[self.architecture]
        basis = random_basis(make(), groups, seed=self.seed)
        return sparsify(make(self.seed if seed is None else seed), basis, self.config)

    def batches(self, model: nn.Module, step: int) -> list[Batch]:
        """The whole batches of one step."""
        first = 1000 * self.seed + step * self.accumulate
        return [batch_for(model, first + i) for i in range(self.accumulate)]

    def shards(self, batch: Batch) -> tuple[Batch, Batch]:
        """A batch as the two ranks share it."""
        return (
            {name: tensor[: self.rows] for name, tensor in batch.items()},
            {name: tensor[self.rows :] for name, tensor in batch.items()},
        )


def train_as_rank(run: Run) -> Arrays:
    """Train a rank's share under plain DDP; the model's state afterwards.

    Rank 0's initial weights are the run's; another rank has others, which DDP has to replace.
    """
    rank = distributed.get_rank()
    model = run.model(run.seed + rank)
    replica = DistributedDataParallel(model, **run.ddp)
    optimizer = build_optimizer(replica, lr=1e-2, head_lr=1e-3)
    for step in range(run.steps):
        *early, last = [run.shards(batch)[rank] for batch in run.batches(model, step)]
        with replica.no_sync() if early else nullcontext():
            for shard in early:
                replica(**shard).loss.backward()
        replica(**last).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return state(model)


def train_alone(run: Run, loss_of: Callable[[nn.Module, Batch], Tensor]) -> Arrays:
    """The same run in one process."""
    model = run.model()
    optimizer = build_optimizer(model, lr=1e-2, head_lr=1e-3)
    for step in range(run.steps):
        for batch in run.batches(model, step):
            loss_of(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    return state(model)


def state(model: nn.Module) -> Arrays:
    """Weights as the plain model would have them, and each layer's change."""
    found = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    for name, layer in sparse_layers(model).items():
        found[f"{name}.dense"] = layer.dense_weight().detach().numpy()
    return {name: array.copy() for name, array in found.items()}


class Ties(nn.Module):
    """A layer all of whose gradient entries are 1 or -1: nothing but ties."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 6, bias=False, dtype=torch.float64)
        nn.init.zeros_(self.layer.weight)

    def forward(self, signs: Tensor) -> Tensor:
        """A loss that is linear in the weight."""
        y: Tensor = self.layer(signs)
        return y.sum()


def train_ties_as_rank(steps: int, entries: int) -> Arrays:
    """Train `Ties` in the standard basis under DDP; both ranks have the same signs."""
    eye = torch.eye(8, dtype=torch.float64)
    ones = torch.ones(8, dtype=torch.float64)
    group = GroupBasis("all", ("layer",), eye, eye[:6, :6], ones, ones[:6])
    model = sparsify(Ties(), basis_of(group), SparseGradConfig(entries=entries))
    replica = DistributedDataParallel(model)
    optimizer = build_optimizer(replica)
    signs = torch.tensor([[1.0, -1.0] * 4], dtype=torch.float64)
    for _ in range(steps):
        replica(signs).backward()
        optimizer.step()
        optimizer.zero_grad()
    return state(model)


def same_bits(states: Sequence[Arrays]) -> bool:
    """Whether all ranks ended with the very same bits."""
    first, *others = states
    return all(
        other.keys() == first.keys()
        and all(other[name].tobytes() == first[name].tobytes() for name in first)
        for other in others
    )
