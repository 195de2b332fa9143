"""Several ranks publish one basis, against a real server, in float64."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support import calibrating
from support.calibrating import HELD_OUT, STEPS, Calibrating
from support.ranks import RankFailed, Ranks
from support.servers import RunningServer
from torch import Tensor

from sparsegrad_client import BasisService
from sparsegrad_client.groups import auto_spec, find_groups
from sparsegrad_client.trainable import head_names

pytestmark = pytest.mark.usefixtures("client_home")

LEADING = 4  # columns whose subspaces are compared; their eigenvalues stand well apart
LR, HEAD_LR = 1e-2, 3e-2


@pytest.fixture
def run(team_server: RunningServer, tmp_path: Path) -> Calibrating:
    return _run(team_server, tmp_path / "home")


def _run(server: RunningServer, home: Path, **options: Any) -> Calibrating:
    return Calibrating(f"team/{uuid.uuid4().hex}", server.url, server.token, home, options)


def _interleaved() -> list[dict[str, Tensor]]:
    """The ranks' batches in the order of their slots."""
    shards = [calibrating.shard(rank) for rank in range(2)]
    return [batch for step in zip(*shards, strict=True) for batch in step]


def test_ranks_publish_the_basis_that_one_process_makes_of_the_same_gradients(
    ranks: Ranks, team_server: RunningServer, tmp_path: Path
) -> None:
    options = {"lr": 0.0, "head_lr": 0.0, "send": "dense"}
    first, second = ranks.run(
        calibrating.calibrate_as_rank, _run(team_server, tmp_path / "ranks", **options)
    )
    alone = _run(team_server, tmp_path / "alone", **options).alone(
        _interleaved(), steps=2 * STEPS, held_out=2 * HELD_OUT
    )
    assert first["digest"] == second["digest"] == alone.digest
    assert first["reference"] == second["reference"]


def _data_parallel_sums() -> dict[str, tuple[Tensor, Tensor]]:
    """A_in and A_out of data-parallel training, by the book: all gradients, then a step."""
    model = calibrating.model().train()
    groups = find_groups(model, auto_spec(model))
    weights = [layer.weight for group in groups for layer in group.layers]
    head = [parameter for name, parameter in model.named_parameters() if name in head_names(model)]
    trained = [*weights, *head]
    rates = [{"params": weights, "lr": LR}, {"params": head, "lr": HEAD_LR}]
    optimizer = torch.optim.AdamW(rates, weight_decay=0.0)
    sums = {
        g.name: (
            torch.zeros(g.d_in, g.d_in, dtype=torch.float64),
            torch.zeros(g.d_out, g.d_out, dtype=torch.float64),
        )
        for g in groups
    }
    for step in range(STEPS):
        means = [torch.zeros_like(weight) for weight in trained]
        for rank in range(2):
            model.zero_grad()
            model(**calibrating.shard(rank)[step]).loss.backward()
            for mean, weight in zip(means, trained, strict=True):
                assert weight.grad is not None
                mean += weight.grad / 2
            for group in groups:
                for layer in group.layers:
                    G = layer.weight.grad
                    assert G is not None
                    sums[group.name][0].add_(G.t() @ G)
                    sums[group.name][1].add_(G @ G.t())
        for mean, weight in zip(means, trained, strict=True):
            weight.grad = mean
        optimizer.step()
    return sums


@pytest.mark.parametrize("send", ["auto", "sums"])
def test_ranks_train_as_one_run_and_give_each_its_own_gradients(
    ranks: Ranks, team_server: RunningServer, tmp_path: Path, send: str
) -> None:
    run = _run(team_server, tmp_path / "home", lr=LR, head_lr=HEAD_LR, send=send)
    first, second = ranks.run(calibrating.calibrate_as_rank, run)
    assert first["digest"] == second["digest"]
    for group, matrices in _data_parallel_sums().items():
        for found, A in zip(first["bases"][group], matrices, strict=True):
            leading = torch.linalg.eigh(A).eigenvectors.flip(1).numpy()
            assert calibrating.subspace_distance(found, leading, LEADING) < 1e-6
    with BasisService(team_server.url, team_server.token) as service:
        version = service.resolve(first["reference"])
        layers = 2
        for described in version.manifest.groups:
            assert described.gradients == 2 * STEPS * layers
            assert described.held_out == 2 * HELD_OUT * layers


def test_one_process_may_send_sums(run: Calibrating) -> None:
    batches = calibrating.shard(0)
    single = run.alone(batches, lr=LR)
    summed = run.alone(batches, lr=LR, send="sums")
    for name, group in single.groups.items():
        for found, expected in ((summed.groups[name].U, group.U), (summed.groups[name].V, group.V)):
            distance = calibrating.subspace_distance(found.numpy(), expected.numpy(), LEADING)
            assert distance < 1e-6


def test_ranks_share_the_first_ones_embedded_server(ranks: Ranks, tmp_path: Path) -> None:
    run = Calibrating("local/shared", None, None, tmp_path / "home")
    first, second = ranks.run(calibrating.calibrate_as_rank, run)
    assert first["digest"] == second["digest"]


def test_a_rank_that_fails_ends_the_others_and_the_calibration_goes_on_later(
    ranks: Ranks, run: Calibrating, team_server: RunningServer, tmp_path: Path
) -> None:
    other, failed = ranks.run(calibrating.calibrate_and_fail, run, 1, "raise")
    assert failed["error"] == "InvalidInput"
    assert other["error"] == "RankFailed"
    assert "rank 1: InvalidInput: enough" in other["said"]
    calibration = re.search(r"Calibration (\S+) stays", "".join(other["notes"]))
    assert calibration is not None
    resumed = Calibrating(run.name, run.server, run.token, run.home, {"resume": calibration[1]})
    whole = ranks.run(calibrating.calibrate_as_rank, _run(team_server, tmp_path / "whole"))
    again = ranks.run(calibrating.calibrate_as_rank, resumed)
    assert {answer["digest"] for answer in [*again, *whole]} == {whole[0]["digest"]}


@pytest.fixture
def mortal_ranks(tmp_path: Path) -> Iterator[Ranks]:
    """Ranks of the test's own, that may die."""
    with Ranks(tmp_path / "ranks") as two:
        yield two


def test_a_rank_that_dies_leaves_nobody_waiting(mortal_ranks: Ranks, run: Calibrating) -> None:
    with pytest.raises(RankFailed) as died:
        mortal_ranks.run(calibrating.calibrate_and_fail, run, 1, "die")
    assert "rank 1" in str(died.value)
    survivor = mortal_ranks.answers[0]
    assert survivor["error"] == "RankFailed"
    assert "answers no more" in survivor["said"]
