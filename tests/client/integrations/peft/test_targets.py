"""Which layers get an adapter, and what is refused before any layer is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import get_peft_model
from support.cached_bases import cache_basis
from support.sparse_models import group_basis
from torch import nn

from sparsegrad_client.integrations.peft import SparseGradPeftConfig, SparseGradPeftLayer
from sparsegrad_shared.errors import InvalidInput, ShapeMismatch, UnsupportedModel


class Blocks(nn.Module):
    """Blocks of two layers, `up` and `down`."""

    def __init__(self, blocks: int = 4) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"up": nn.Linear(4, 6), "down": nn.Linear(6, 4)}) for _ in range(blocks)
        )


@pytest.fixture
def digest(client_home: Path) -> str:
    """A basis for the layers of every second block."""
    up, down = ((f"blocks.0.{part}", f"blocks.2.{part}") for part in ("up", "down"))
    return cache_basis(
        client_home,
        group_basis("up", up, 6, 4, dtype=torch.float32),
        group_basis("down", down, 4, 6, dtype=torch.float32),
    )


def _adapted(model: nn.Module, digest: str, **settings: object) -> list[str]:
    config = SparseGradPeftConfig(**({"basis": digest, "block": (2, 2)} | settings))
    get_peft_model(model, config)
    return [layer.name for layer in model.modules() if isinstance(layer, SparseGradPeftLayer)]


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (None, ["blocks.0.up", "blocks.0.down", "blocks.2.up", "blocks.2.down"]),
        ("all-linear", ["blocks.0.up", "blocks.0.down", "blocks.2.up", "blocks.2.down"]),
        (["up"], ["blocks.0.up", "blocks.2.up"]),
        (["2.up", "down"], ["blocks.0.down", "blocks.2.up", "blocks.2.down"]),
        (r"blocks\.[01]\..*", ["blocks.0.up", "blocks.0.down"]),
    ],
)
def test_targets_narrow_down_the_layers_that_the_basis_names(
    digest: str, targets: list[str] | str | None, expected: list[str]
) -> None:
    assert _adapted(Blocks(), digest, target_modules=targets) == expected


def test_a_module_to_save_gets_no_adapter(digest: str) -> None:
    found = _adapted(Blocks(), digest, modules_to_save=["blocks.2.up"])
    assert found == ["blocks.0.up", "blocks.0.down", "blocks.2.down"]


def _share_weight(model: Blocks) -> None:
    model.blocks[2]["up"].weight = model.blocks[0]["up"].weight


def _stand_twice(model: Blocks) -> None:
    model.blocks[2]["up"] = model.blocks[0]["up"]


def _other_class(model: Blocks) -> None:
    model.blocks[2]["up"] = nn.LayerNorm(4)


def _other_size(model: Blocks) -> None:
    model.blocks[2]["up"] = nn.Linear(4, 7)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (_share_weight, UnsupportedModel, "'blocks.0.up' and 'blocks.2.up' share their weight"),
        (_stand_twice, UnsupportedModel, "'blocks.2.up' stands at another place"),
        (_other_class, UnsupportedModel, "layer 'blocks.2.up' is a LayerNorm"),
        (_other_size, ShapeMismatch, "group 'up' is 6 x 4, layer 'blocks.2.up' is 7 x 4"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_untouched(
    digest: str, change: Callable[[Blocks], None], error: type[Exception], said: str
) -> None:
    model = Blocks()
    change(model)
    with pytest.raises(error, match=said):
        _adapted(model, digest)
    assert not any(isinstance(module, SparseGradPeftLayer) for module in model.modules())


def test_a_layer_that_the_model_lacks_is_named_with_the_nearest(digest: str) -> None:
    with pytest.raises(UnsupportedModel, match=r"'blocks\.2\.up'.*layers are blocks\.1\.up"):
        _adapted(Blocks(blocks=2), digest)


@pytest.mark.parametrize("targets", [["up", "query"], "query"])
def test_a_target_that_the_basis_lacks_is_refused(digest: str, targets: list[str] | str) -> None:
    with pytest.raises(InvalidInput, match=r"query.* matches no layer of basis .*up, down"):
        _adapted(Blocks(), digest, target_modules=targets)


def test_a_block_beyond_the_basis_is_refused(digest: str) -> None:
    model = Blocks()
    with pytest.raises(ShapeMismatch, match=r"coordinates are 4 x 6.*Take a smaller block"):
        _adapted(model, digest, block=(5, 4))
    assert not any(isinstance(module, SparseGradPeftLayer) for module in model.modules())
