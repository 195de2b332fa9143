"""A pytest plugin that turns PEFT's own test suite on the SparseGrad tuner.

Each of the suite's tests that runs over all methods runs over ours; the rest, which are about one
other method or need a hub, are left out. `SPARSEGRAD_HOME` says where its bases are cached.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from peft import SupertuningConfig
from support.cached_bases import cache_basis
from support.sparse_models import group_basis

from sparsegrad_client.basis import GroupBasis
from sparsegrad_client.home import home
from sparsegrad_client.integrations.peft import SparseGradPeftConfig

NEEDS_A_HUB = {
    "test_from_pretrained",
    "test_from_pretrained_cache_dir",
    "test_save_pretrained_with_runtime_config",
}
OVER_ALL_METHODS = {"test_from_peft_type"}  # in one case


def _group(name: str, layers: tuple[str, ...], d_out: int, d_in: int) -> GroupBasis:
    seed = sum(map(ord, name))
    return group_basis(name, layers, d_out, d_in, seed=seed, dtype=torch.float32)


MLP = cache_basis(home(), _group("lin0", ("lin0",), 20, 10), _group("lin1", ("lin1",), 2, 20))
MLP2 = cache_basis(home(), _group("lin0", ("lin0",), 32, 10), _group("lin1", ("lin1",), 2, 32))
EMB_CONV1D = cache_basis(
    home(), _group("conv1d", ("conv1d",), 1, 5), _group("lin0", ("lin0",), 2, 10)
)
DEEP_MLP = cache_basis(
    home(), _group("lin0", tuple(f"layers.{block}.lin0" for block in range(12)), 256, 256)
)


@dataclass
class OnMlp(SparseGradPeftConfig):
    """A config for tests that give none of a method's own settings."""

    basis: str | None = MLP
    density: float | None = 0.2


@dataclass
class OnDeepMlp(SparseGradPeftConfig):
    """The same for the suite's deep model."""

    basis: str | None = DEEP_MLP


def _case(name: str, model: str, basis: str, **settings: Any) -> tuple[Any, ...]:
    return f"{name} SparseGrad", model, SparseGradPeftConfig, {"basis": basis} | settings


TEST_CASES = [
    _case("MLP, expression", "MLP", MLP, target_modules="lin0", block=[4, 5]),
    _case("MLP, list", "MLP", MLP, target_modules=["lin0"], entries=60),
    _case("MLP, narrow", "MLP", MLP, target_modules=["lin1"], block=[2, 7]),
    _case("MLP, two layers", "MLP", MLP, target_modules=["lin0", "lin1"], density=0.5),
    _case("MLP, all the basis has", "MLP", MLP, density=0.25),
    _case(
        "MLP, modules to save",
        "MLP",
        MLP,
        target_modules=["lin0"],
        modules_to_save=["lin1"],
        block=[20, 10],
    ),
    _case("MLP with LayerNorm", "MLP_LayerNorm", MLP, target_modules=["lin0"], density=0.3),
    _case("MLP2", "MLP2", MLP2, target_modules="all-linear", density=0.3),
    _case("Conv1D", "EmbConv1D", EMB_CONV1D, target_modules=["conv1d"], block=[1, 4]),
    _case("Conv1D and Linear", "EmbConv1D", EMB_CONV1D, density=1.0),
]
_ACTIVE = {"basis": MLP, "density": 0.5, "init_weights": False}
TWO_ADAPTERS = [
    (
        f"SparseGrad {name}",
        "sparsegrad",
        SparseGradPeftConfig,
        _ACTIVE | {"target_modules": ["lin0"]},
        _ACTIVE | {"target_modules": [second]},
    )
    for name, second in (("same", "lin0"), ("different", "lin1"))
]


def _on(*layers: str, **settings: Any) -> OnMlp:
    return OnMlp(target_modules=list(layers), init_weights=False, **settings)


# Batches in which each example has its own adapter: two adapters for each test.
_MIXED = {
    "different_target_layers": (_on("lin0"), _on("lin1")),
    "partly_overlapping_target_layers": (_on("lin0"), _on("lin0", "lin1")),
    "multiple_modules_to_save": (
        _on("lin0", modules_to_save=["lin1"]),
        _on("lin0", modules_to_save=["lin1"]),
    ),
}
_MIXED |= dict.fromkeys(
    ("mlp", "length_mismatch_raises", "training_mode_raises", "disabled", "merged_raises"),
    (_on("lin0"), _on("lin0", density=0.5)),
)


def _ours(names: str, rows: Sequence[Any], function: str) -> Sequence[Any] | None:
    """What to run a test over in place of `rows`; None where it is not over all methods."""
    if names == "test_name, model_id, config_cls, config_kwargs":
        return TEST_CASES
    if names == "test_name, tuner_method, config_cls, config_kwargs_1, config_kwargs_2":
        return TWO_ADAPTERS
    if names == "config_class, mandatory_kwargs" and (SupertuningConfig, {}) in rows:
        return [
            (SparseGradPeftConfig, settings) for settings in ({}, {"basis": MLP, "block": [4, 5]})
        ]
    if names == "config0":
        return [_on("lin0")]
    if names == "test_name, config0, config1":
        pair = _MIXED.get(function.removeprefix("test_mixed_adapter_batches_"))
        return pair and [("SparseGrad", *pair)]
    if function == "test_mixed_adapter_batches_lora_wrong_adapter_name_raises":
        return [("SparseGrad", _on("lin0"))]
    if names == "config_cls" and SupertuningConfig in rows:
        return [OnMlp if "mixed_modules_to_save" in function else OnDeepMlp]
    if names == "config_class" and function == "test_save_pretrained_with_target_modules":
        return [SparseGradPeftConfig]
    return None


def pytest_configure(config: pytest.Config) -> None:
    # The suite's common parts import it for tests of image models.
    stub = types.ModuleType("diffusers")
    stub.StableDiffusionPipeline = None  # type: ignore[attr-defined]
    sys.modules.setdefault("diffusers", stub)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    definition = metafunc.definition
    for mark in [mark for mark in definition.own_markers if mark.name == "parametrize"]:
        ours = _ours(mark.args[0], mark.args[1], definition.name)
        if ours is not None:
            definition.own_markers.remove(mark)
            metafunc.parametrize(mark.args[0], ours)
            _turned.add(definition.nodeid)


_turned: set[str] = set()  # tests that run over our cases


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept, left_out = [], []
    for item in items:
        name = item.originalname if isinstance(item, pytest.Function) else item.name
        is_ours = item.nodeid.split("[")[0] in _turned or name in OVER_ALL_METHODS
        (kept if is_ours and name not in NEEDS_A_HUB else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept
