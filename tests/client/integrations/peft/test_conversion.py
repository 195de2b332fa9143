"""The same adapter in our own engines and in PEFT: same entries, same function, same gradient."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.adapters import random_adapter, trained
from support.cached_bases import cache_basis
from support.sparse_models import ARCHITECTURES, batch_for, random_basis
from torch import nn

from sparsegrad_client import Basis, SparseGradConfig, fetch_basis, load_adapter, sparsify
from sparsegrad_client.adapters import Adapter, adapter_of
from sparsegrad_client.integrations.peft import (
    SparseGradPeftConfig,
    SparseGradPeftLayer,
    from_adapter,
    to_adapter,
)
from sparsegrad_client.layers import require_sparse_layers
from sparsegrad_client.support import Support
from sparsegrad_shared.errors import InvalidInput, ShapeMismatch, UnsupportedModel

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


def _basis(home: Path, architecture: str) -> Basis:
    make, groups = ARCHITECTURES[architecture]
    basis = random_basis(make(), groups)
    return fetch_basis(cache_basis(home, *basis.groups.values()))


def _same(a: Adapter, b: Adapter) -> bool:
    return (
        a.basis_digest == b.basis_digest
        and a.layers.keys() == b.layers.keys()
        and a.parameters.keys() == b.parameters.keys()
        and all(
            torch.equal(delta.indices, b.layers[name].indices)
            and torch.equal(delta.values, b.layers[name].values)
            for name, delta in a.layers.items()
        )
        and all(torch.equal(value, b.parameters[name]) for name, value in a.parameters.items())
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("engine", ["reference", "folded", "adapter"])
def test_what_an_engine_trained_is_the_same_function_in_peft_and_comes_back(
    client_home: Path, architecture: str, engine: str
) -> None:
    make, _ = ARCHITECTURES[architecture]
    basis = _basis(client_home, architecture)
    model = trained(make(), basis, SparseGradConfig(entries=9, engine=engine))
    adapter = adapter_of(model)
    converted = from_adapter(make(), adapter)
    batch = batch_for(model)
    assert not torch.allclose(make()(**batch).logits, model(**batch).logits)
    torch.testing.assert_close(converted(**batch).logits, model(**batch).logits)
    assert _same(to_adapter(converted), adapter)


def test_gradients_are_those_of_the_reference_engine(client_home: Path) -> None:
    make, _ = ARCHITECTURES["bert"]
    basis = _basis(client_home, "bert")
    sparse = sparsify(
        make(), basis, SparseGradConfig(density=1.0, engine="reference", selection="dynamic")
    )
    sparse(**batch_for(sparse)).loss.backward()
    model = get_peft_model(make(), SparseGradPeftConfig(basis=basis.digest, block=(4, 3)))
    model(**batch_for(sparse)).loss.backward()
    own = {m.name: m for m in model.modules() if isinstance(m, SparseGradPeftLayer)}
    for layer in require_sparse_layers(sparse).values():
        gradient = layer.coordinates.grad.flatten()
        indices = Support.leading(4, 3).indices(layer.group.r_in)
        found = own[layer.name].sparsegrad_values["default"].grad
        torch.testing.assert_close(found, gradient[indices], rtol=1e-9, atol=1e-14)


def test_a_second_adapter_goes_beside_the_first(client_home: Path) -> None:
    make, _ = ARCHITECTURES["bert"]
    basis = _basis(client_home, "bert")
    first, second = (random_adapter(basis, 20, seed) for seed in (1, 2))
    model = from_adapter(from_adapter(make(), first, "first"), second, "second")
    model.add_weighted_adapter(["first", "second"], [2.0, -1.0], "sum")
    assert _same(to_adapter(model, "sum"), 2.0 * first - second)
    model.set_adapter("second")
    expected = load_adapter(make(), second, basis)
    batch = batch_for(expected)
    torch.testing.assert_close(model(**batch).logits, expected(**batch).logits)


def test_parameters_that_peft_cannot_hold_are_refused(client_home: Path) -> None:
    make, _ = ARCHITECTURES["bert"]
    basis = _basis(client_home, "bert")
    changed = random_adapter(basis, 5, 1).layers
    half = Adapter(basis.digest, changed, {"classifier.weight": torch.zeros(2, 16)})
    with pytest.raises(UnsupportedModel, match=r"classifier\.weight.*by whole modules"):
        from_adapter(make(), half)
    large = {"classifier.weight": torch.zeros(3, 16), "classifier.bias": torch.zeros(3)}
    with pytest.raises(ShapeMismatch, match=r"\(3, 16\), and \(2, 16\) in the model"):
        from_adapter(make(), Adapter(basis.digest, changed, large))
    absent = Adapter(basis.digest, changed, {"score.weight": torch.zeros(2, 16)})
    with pytest.raises(UnsupportedModel, match=r"score\.weight"):
        from_adapter(make(), absent)


def test_an_adapter_that_changes_nothing_is_refused(client_home: Path) -> None:
    make, _ = ARCHITECTURES["bert"]
    untrained = adapter_of(sparsify(make(), _basis(client_home, "bert"), SparseGradConfig()))
    with pytest.raises(InvalidInput, match="it changes no layer; train it"):
        from_adapter(make(), untrained)


def test_another_methods_adapter_is_none_of_ours() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(InvalidInput, match="expected a model with SparseGrad adapters, got a Lora"):
        to_adapter(get_peft_model(model, LoraConfig(target_modules=["0"])))
