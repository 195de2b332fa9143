"""What a rank runs in tests of data-parallel training, and the same run in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from transformers import TrainerControl, TrainerState, TrainingArguments

from sparsegrad_client import SparseGradConfig, build_optimizer, save_adapter, sparsify
from sparsegrad_client.adapters import adapter_of
from sparsegrad_client.basis import GroupBasis
from sparsegrad_client.fit import BasisFit
from sparsegrad_client.integrations.foundation import Foundation
from sparsegrad_client.integrations.trainer import SparseGradCallback
from sparsegrad_client.layers import sparse_layers
from sparsegrad_shared.errors import SparseGradError

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

    def mean_of_shards(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean of the two ranks' losses."""
        first, second = self.shards(batch)
        loss: Tensor = (model(**first).loss + model(**second).loss) / 2
        return loss


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


def sharded(run: Run) -> nn.Module:
    """The run's model under FSDP2."""
    model = run.model()
    mesh = init_device_mesh("cpu", (distributed.get_world_size(),))
    for module in list(model.modules()):
        if isinstance(module, nn.ModuleList):
            for block in module:
                fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def saved_by_callback(run: Run, folder: Path) -> str:
    """What a rank takes a model under FSDP2 to stand on; the `Trainer`'s callback saves it."""
    model = sharded(run)
    state = TrainerState(is_world_process_zero=distributed.get_rank() == 0)
    arguments = TrainingArguments(output_dir=str(folder), use_cpu=True)
    SparseGradCallback().on_save(arguments, state, TrainerControl(), model=model)
    return Foundation.of(model).frozen


def train_sharded_as_rank(run: Run, optimizer: str) -> Arrays:
    """Train a rank's share under FSDP2; the adapter afterwards, which every rank gets whole."""
    model = sharded(run)
    step = _steps(model, optimizer)
    for number in range(run.steps):
        for batch in run.batches(model, number):
            model(**run.shards(batch)[distributed.get_rank()]).loss.backward()
        step()
    return adapter(model)


def train_alone_for_adapter(run: Run, optimizer: str) -> Arrays:
    """The same run in one process."""
    model = run.model()
    step = _steps(model, optimizer)
    for number in range(run.steps):
        for batch in run.batches(model, number):
            model(**batch).loss.backward()
        step()
    return adapter(model)


def _steps(model: nn.Module, name: str) -> Callable[[], None]:
    """What takes a step and drops the gradients: by our optimizer or a stock one."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = (
        build_optimizer(model, lr=1e-2) if name == "ours" else torch.optim.AdamW(trained, lr=1e-2)
    )

    def step() -> None:
        optimizer.step()
        optimizer.zero_grad()

    return step


def refusal_of_a_bad_shard(run: Run, bad_rank: int) -> tuple[str, str]:
    """What a rank is told when the part of a gradient that one rank holds is not finite."""
    model = run.model()
    fully_shard(model, mesh=init_device_mesh("cpu", (distributed.get_world_size(),)))
    optimizer = build_optimizer(model)
    model(**run.batches(model, 0)[0]).loss.backward()
    gradient = next(iter(sparse_layers(model).values())).coordinates.grad
    if distributed.get_rank() == bad_rank:
        gradient.to_local()[0, 0] = torch.nan
    try:
        optimizer.step()
    except SparseGradError as error:
        return type(error).__name__, str(error)
    return "", ""


def refusal_of_different_supports(run: Run) -> str:
    """What a rank is told when each has warmed up on batches of its own."""
    make, groups = ARCHITECTURES[run.architecture]
    model = make(run.seed)
    basis = random_basis(make(), groups, seed=run.seed)
    batches = [batch_for(model, distributed.get_rank())]
    replica = DistributedDataParallel(sparsify(model, basis, run.config, warm_up=batches))
    optimizer = build_optimizer(replica)
    replica(**batches[0]).loss.backward()
    try:
        optimizer.step()
    except SparseGradError as error:
        return str(error)
    return ""


def supports_chosen_together(run: Run) -> Arrays:
    """The supports that a rank chooses by a batch of its own, in a group."""
    make, groups = ARCHITECTURES[run.architecture]
    model = make(run.seed)
    batches = [batch_for(model, distributed.get_rank())]
    basis = random_basis(make(), groups, seed=run.seed)
    sparsify(model, basis, run.config, warm_up=batches, process_group=distributed.group.WORLD)
    return {name: layer.positions.numpy() for name, layer in sparse_layers(model).items()}


def refusal_of_a_missing_warm_up(run: Run, without: int) -> str:
    """What a rank is told when one of them has no batch to warm up on."""
    make, groups = ARCHITECTURES[run.architecture]
    model = make(run.seed)
    rank, group = distributed.get_rank(), distributed.group.WORLD
    batches = [] if rank == without else [batch_for(model, rank)]
    try:
        sparsify(
            model, random_basis(make(), groups), run.config, warm_up=batches, process_group=group
        )
    except SparseGradError as error:
        return str(error)
    return ""


def energies_as_rank(run: Run) -> dict[str, list[float]]:
    """The fit that a rank finds with the others, by group: top, original, captured, total."""
    model = run.model()
    replica = DistributedDataParallel(model)
    fit = BasisFit(replica, calibration=None, process_group=distributed.group.WORLD)
    for batch in run.batches(model, 0):
        replica(**run.shards(batch)[distributed.get_rank()]).loss.backward()
    sample = fit.step()
    assert sample is not None
    return {name: list(astuple(energy)) for name, energy in sample.items()}


def save_from_replica(run: Run, folder: Path) -> None:
    """Train a few steps under DDP, and save the wrapped model's adapter on the first rank."""
    replica = DistributedDataParallel(run.model())
    step = _steps(replica, "ours")
    replica(**run.batches(replica.module, 0)[0]).loss.backward()
    step()
    if distributed.get_rank() == 0:
        save_adapter(replica, folder)


def adapter(model: nn.Module) -> Arrays:
    """What training has changed, by name."""
    found = adapter_of(model)
    layers = {
        f"{name}.{part}": tensor.numpy()
        for name, delta in found.layers.items()
        for part, tensor in (("indices", delta.indices), ("values", delta.values))
    }
    return layers | {name: tensor.numpy() for name, tensor in found.parameters.items()}


def state(model: nn.Module) -> Arrays:
    """Weights as the plain model would have them, and each layer's change."""
    found = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    for name, layer in sparse_layers(model).items():
        found[f"{name}.dense"] = layer.dense_weight().detach().numpy()
        found[f"{name}.changed"] = layer.delta.indices.numpy()
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
    # Without feedback: the same entries tie at every step.
    config = SparseGradConfig(entries=entries, error_feedback=False)
    model = sparsify(Ties(), basis_of(group), config)
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
