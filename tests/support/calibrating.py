"""What a rank runs in tests of calibrations by several processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from transformers import PreTrainedModel

from sparsegrad_client import Basis, calibrate
from sparsegrad_client.calibration.ranks import Ranks
from sparsegrad_shared.calibrations import DatasetSource
from sparsegrad_shared.errors import InvalidInput

from . import tiny_models

STEPS, HELD_OUT = 3, 1
DATASET = DatasetSource(id="tests", fingerprint="sha256:0")

Answer = dict[str, Any]


@dataclass(frozen=True)
class Calibrating:
    """A calibration that ranks share.

    Args:
        name: what to publish as.
        server: the server; None for the embedded one.
        token: proves who asks.
        home: the client's folder.
        options: further arguments of `calibrate`.
    """

    name: str
    server: str | None
    token: str | None
    home: Path
    options: dict[str, Any] = field(default_factory=dict)

    def alone(self, batches: list[dict[str, Tensor]], **options: Any) -> Basis:
        """Calibrate on these batches with whatever this process is."""
        arguments: dict[str, Any] = {
            "server": self.server,
            "token": self.token,
            "dataset": DATASET,
            "steps": STEPS,
            "held_out": HELD_OUT,
        }
        return calibrate(model(), batches, self.name, **(arguments | self.options | options))


def model(seed: int = 0) -> PreTrainedModel:
    """A model without dropout, in float64."""
    torch.manual_seed(seed)
    bert = tiny_models.bert().double()
    for module in bert.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return bert


def shard(rank: int, ranks: int = 2, steps: int = STEPS + HELD_OUT) -> list[dict[str, Tensor]]:
    """A rank's batches: of all batches, every `ranks`-th."""
    return [tiny_models.classification_batch(step * ranks + rank) for step in range(steps)]


def calibrate_as_rank(run: Calibrating) -> Answer:
    """Calibrate with the other ranks; what this one got."""
    os.environ["SPARSEGRAD_HOME"] = str(run.home)
    rank = distributed.get_rank()
    basis = run.alone(shard(rank), process_group=distributed.group.WORLD)
    return {
        "digest": basis.digest,
        "reference": basis.reference,
        "bases": {name: (group.U.numpy(), group.V.numpy()) for name, group in basis.groups.items()},
    }


def calibrate_and_fail(run: Calibrating, rank: int, failure: str) -> Answer:
    """The same, but one rank fails at its second step; what each rank was told."""
    os.environ["SPARSEGRAD_HOME"] = str(run.home)
    batches = shard(distributed.get_rank())

    def progress(phase: str, completed: int, total: int) -> None:
        if distributed.get_rank() == rank and completed == 1:
            if failure == "raise":
                raise InvalidInput("enough")
            os.abort()

    try:
        run.alone(batches, process_group=distributed.group.WORLD, progress=progress)
    except Exception as error:  # noqa: BLE001 - what the test is about
        return {"error": type(error).__name__, "said": str(error), "notes": error.__notes__}
    return {}


def gathered_texts(texts: list[str]) -> list[str]:
    """What a rank gathers when each says its own."""
    return _ranks().gather(texts[distributed.get_rank()])


def refusal_of_models(kind: str) -> tuple[str, str]:
    """What a rank is told of a model that is not the same on all."""
    made: dict[str, Callable[[], torch.nn.Module]] = {
        "another seed": lambda: model(distributed.get_rank()),
        "another shape": lambda: torch.nn.Linear(2 + distributed.get_rank(), 2),
        "wrapped": lambda: torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 2)),
    }
    try:
        _ranks().check_model(made[kind]())
    except Exception as error:  # noqa: BLE001 - what the test is about
        return type(error).__name__, str(error)
    return "", ""


def _ranks() -> Ranks:
    return Ranks(distributed.group.WORLD, torch.device("cpu"))


def subspace_distance(found: NDArray[Any], expected: NDArray[Any], columns: int) -> float:
    """Sine of the largest angle between two leading subspaces."""
    P, Q = (torch.from_numpy(array[:, :columns]).double() for array in (found, expected))
    residual = P - Q @ (Q.t() @ P)
    return float(torch.linalg.matrix_norm(residual, 2))
