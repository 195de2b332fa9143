"""What a checkpoint stands on: told apart when it differs, the same whatever training changed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.sparse_models import BERT_GROUPS, batch_for, random_basis, tiny_bert
from torch import nn
from torchao.quantization import Int8WeightOnlyConfig, quantize_

from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.convert import sparsify
from sparsegrad_client.integrations.foundation import Foundation, frozen_digest, frozen_names
from sparsegrad_client.layers import ENGINES, sparse_layers
from sparsegrad_client.optim import build_optimizer
from sparsegrad_shared.errors import InvalidInput, WrongBasis

engines = pytest.mark.parametrize("engine", ENGINES)


def _sparse(engine: str = "folded", model: nn.Module | None = None, **basis: Any) -> nn.Module:
    model = model or tiny_bert()
    config = SparseGradConfig(entries=9, engine=engine)  # type: ignore[arg-type]
    return sparsify(model, random_basis(model, BERT_GROUPS, **basis), config)


@engines
def test_training_changes_no_parameter_that_is_called_frozen(engine: str) -> None:
    model = _sparse(engine)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    foundation = Foundation.of(model)
    optimizer = build_optimizer(model, lr=1e-2)
    for seed in range(3):
        model(**batch_for(model, seed)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert Foundation.of(model) == foundation
    changed = {
        name
        for name, tensor in model.state_dict().items()
        if name not in before or not torch.equal(tensor, before[name])
    }
    assert changed
    assert not changed & frozen_names(model)
    assert frozen_names(model) <= before.keys()


@given(st.data())
def test_one_bit_of_one_frozen_weight_makes_another_digest(data: st.DataObject) -> None:
    model = _sparse()
    digest = frozen_digest(model)
    name = data.draw(st.sampled_from(sorted(frozen_names(model))))
    flat = model.get_parameter(name).data.view(-1).view(torch.int64)
    place = data.draw(st.integers(0, flat.numel() - 1))
    flat[place] ^= 1 << data.draw(st.integers(0, 62))
    assert frozen_digest(model) != digest


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_weights_of_any_type_have_a_digest(dtype: torch.dtype) -> None:
    models = [_sparse("adapter", tiny_bert(seed).to(dtype), dtype=dtype) for seed in (0, 0, 1)]
    first, same, other = (frozen_digest(model) for model in models)
    assert first == same != other


def test_quantised_weights_have_a_digest() -> None:
    digests = []
    for seed in (0, 0, 1):
        model = tiny_bert().float()
        layer = model.bert.encoder.layer[0].attention.output.dense
        nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(seed))
        quantize_(layer, Int8WeightOnlyConfig())
        digests.append(frozen_digest(_sparse("folded", model)))
    assert digests[0] == digests[1] != digests[2]


def test_the_part_that_does_not_fit_is_named() -> None:
    saved = Foundation(basis="sha256:a", engine="folded", frozen="sha256:b")
    saved.check_against(saved)
    with pytest.raises(WrongBasis, match="its basis is sha256:a, the model's is sha256:c"):
        Foundation("sha256:c", "folded", "sha256:b").check_against(saved)
    with pytest.raises(InvalidInput, match="its engine is folded, the model's is adapter"):
        Foundation("sha256:a", "adapter", "sha256:b").check_against(saved)
    with pytest.raises(InvalidInput, match="frozen weights is sha256:b, the model's is sha256:d"):
        Foundation("sha256:a", "folded", "sha256:d").check_against(saved)


def test_layers_of_one_model_say_their_engine_once() -> None:
    model = _sparse()
    assert len(sparse_layers(model)) == 4
    assert Foundation.of(model).engine == "folded"
