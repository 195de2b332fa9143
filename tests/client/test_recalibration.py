"""Recalibration in the middle of a training, against a real server."""

from __future__ import annotations

import copy
import uuid
import warnings
from typing import Any

import httpx
import pytest
import torch
from support import tiny_models
from support.same import assert_same
from support.servers import RunningServer
from torch import Tensor, nn

from sparsegrad_client import (
    Basis,
    BasisService,
    SparseGradConfig,
    build_optimizer,
    calibrate,
    load_adapter,
    merge,
    recalibrate,
    save_adapter,
    sparsify,
)
from sparsegrad_client.layers import sparse_layers
from sparsegrad_shared.calibrations import DatasetSource
from sparsegrad_shared.errors import Forbidden, InvalidInput, InvalidReference, UnsupportedModel

pytestmark = pytest.mark.usefixtures("client_home")

STEPS, HELD_OUT = 3, 1
BATCHES = [tiny_models.classification_batch(seed) for seed in range(STEPS + HELD_OUT)]
CONFIGS = {
    "folded": SparseGradConfig(entries=9, engine="folded"),
    "reference": SparseGradConfig(entries=9, engine="reference"),
    "adapter": SparseGradConfig(block=(5, 3), engine="adapter"),
    "frozen": SparseGradConfig(entries=9, selection="frozen"),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def _model() -> nn.Module:
    torch.manual_seed(0)
    model = tiny_models.bert().double()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def _on(server: RunningServer) -> dict[str, Any]:
    return {"server": server.url, "token": server.token, "steps": STEPS, "held_out": HELD_OUT}


def _basis(server: RunningServer, **options: Any) -> Basis:
    return calibrate(_model(), BATCHES, f"team/{uuid.uuid4().hex}", **(_on(server) | options))


def _trained(basis: Basis, config: SparseGradConfig, steps: int = 4) -> nn.Module:
    warm_up = BATCHES if config.selection == "frozen" else ()
    model = sparsify(_model(), basis, config, warm_up=warm_up)
    _train(model, steps)
    return model


def _train(model: nn.Module, steps: int) -> None:
    model.train()
    optimizer = build_optimizer(model, lr=1e-2)
    for step in range(steps):
        model(**BATCHES[step % len(BATCHES)]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@torch.no_grad()
def _logits(model: nn.Module) -> Tensor:
    logits: Tensor = model.eval()(**BATCHES[0]).logits
    return logits


@every_config
def test_what_was_learned_stays_and_the_next_version_is_trained_in(
    team_server: RunningServer, config: SparseGradConfig
) -> None:
    before = _basis(team_server)
    model = _trained(before, config)
    logits = _logits(model)
    after = recalibrate(model, BATCHES, **_on(team_server))
    assert str(after) == str(before).replace("@1", "@2")
    torch.testing.assert_close(_logits(model), logits, rtol=1e-9, atol=1e-9)
    layers = sparse_layers(model).values()
    assert {layer.basis.digest for layer in layers} == {after.digest} != {before.digest}
    assert {layer.config for layer in layers} == {config}
    assert all(layer.delta.values.count_nonzero() == 0 for layer in layers)
    _train(model, 2)
    assert all(layer.delta.values.count_nonzero() for layer in layers)


@every_config
def test_the_adapters_before_and_after_make_the_model_one_on_the_other(
    team_server: RunningServer, config: SparseGradConfig, tmp_path: Any
) -> None:
    before = _basis(team_server)
    model = _trained(before, config)
    save_adapter(model, tmp_path / "before")
    after = recalibrate(model, BATCHES, **_on(team_server))
    _train(model, 3)
    save_adapter(model, tmp_path / "after")
    loaded = merge(load_adapter(_model(), tmp_path / "before", before))
    with warnings.catch_warnings():
        # In most engines the steps, and their sum, differ from one another in the last bit.
        warnings.filterwarnings("ignore", ".*not those that training began with")
        load_adapter(loaded, tmp_path / "after", after)
    torch.testing.assert_close(_logits(loaded), _logits(model), rtol=1e-9, atol=1e-9)


def test_the_version_says_where_it_comes_from(team_server: RunningServer) -> None:
    before = _basis(team_server, rank=7, normalize="frobenius")
    model = _trained(before, CONFIGS["folded"])
    data = DatasetSource(id="other-films", fingerprint="sha256:1")
    after = recalibrate(model, BATCHES, dataset=data, **_on(team_server))
    with BasisService(team_server.url, token=team_server.token) as service:
        first, second = (service.resolve(str(basis)).manifest for basis in (before, after))
    assert second.dataset == data
    assert second.model == first.model
    assert second.options == first.options
    assert second.options.rank == 7
    assert [group.layers for group in second.groups] == [group.layers for group in first.groups]


@every_config
def test_when_publishing_is_refused_the_model_is_as_it_was(
    team_server: RunningServer, config: SparseGradConfig
) -> None:
    model = _trained(_basis(team_server), config)
    twin = copy.deepcopy(model)
    asked = {"name": uuid.uuid4().hex, "namespace": "elsewhere", "scope": "write"}
    admin = {"Authorization": f"Bearer {team_server.token}"}
    token = httpx.post(f"{team_server.url}/v1/tokens", json=asked, headers=admin).json()["secret"]
    with pytest.raises(Forbidden) as refused:
        recalibrate(model, BATCHES, **(_on(team_server) | {"token": token}))
    assert "--recalibrate-name" in "".join(refused.value.__notes__)
    assert_same(model.state_dict(), twin.state_dict())
    _train(model, 2)
    _train(twin, 2)
    assert_same(model.state_dict(), twin.state_dict())


def test_a_recalibration_that_was_cut_off_goes_on(team_server: RunningServer) -> None:
    model = _trained(_basis(team_server), CONFIGS["folded"])
    twin = copy.deepcopy(model)
    ids: list[str] = []

    def cut(phase: str, completed: int, total: int) -> None:
        if ids and completed == STEPS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recalibrate(model, BATCHES, **_on(team_server), opened=ids.append, progress=cut)
    assert_same(model.state_dict(), twin.state_dict())
    resumed = recalibrate(model, BATCHES, **_on(team_server), resume=ids[0])
    assert str(resumed).endswith("@2")


def test_what_cannot_be_recalibrated_is_refused_before_anything_is_done(
    team_server: RunningServer,
) -> None:
    basis = _basis(team_server)
    with pytest.raises(InvalidInput, match="no sparse layers"):
        recalibrate(_model(), BATCHES)
    nameless = Basis(basis.digest, basis.groups, reference=None, model=None)
    model = sparsify(_model(), nameless)
    with pytest.raises(InvalidInput, match="not fetched by a name"):
        recalibrate(model, BATCHES)
    with pytest.raises(InvalidReference):
        recalibrate(model, BATCHES, "films")
    half = sparsify(_model().bfloat16(), basis, CONFIGS["adapter"])
    with pytest.raises(UnsupportedModel, match="merging would round away"):
        recalibrate(half, BATCHES)
