"""Quantised models: real 8-bit and 4-bit weights, left as they are, with adapters beside them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from support.sparse_models import BERT_GROUPS, batch_for, random_basis
from torch import Tensor, nn

from sparsegrad_client import load_adapter, save_adapter
from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.convert import merge, sparsify
from sparsegrad_client.layers import AdapterLinear, sparse_layers
from sparsegrad_client.optim import build_optimizer
from sparsegrad_shared.errors import UnsupportedModel

HIDDEN, INNER = 128, 256  # 4-bit kernels take multiples of 64


def _model() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=40,
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=INNER,
        max_position_embeddings=16,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return transformers.BertForSequenceClassification(config).bfloat16()


def _is_mlp(module: nn.Module, path: str) -> bool:
    return isinstance(module, nn.Linear) and path.endswith(("intermediate.dense", "output.dense"))


def _torchao_int8(model: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchao's own, about the torch it was built for
        torchao = pytest.importorskip("torchao.quantization")
    torchao.quantize_(model, torchao.Int8WeightOnlyConfig(), filter_fn=_is_mlp)


def _bitsandbytes(make: Callable[[nn.Linear], nn.Module]) -> Callable[[nn.Module], None]:
    def quantize(model: nn.Module) -> None:
        for path, module in list(model.named_modules()):
            if _is_mlp(module, path):
                quantized = make(module)
                quantized.load_state_dict(module.state_dict())
                model.set_submodule(path, quantized.to("cpu"))

    return quantize


def _four_bits(layer: nn.Linear) -> nn.Module:
    bnb = pytest.importorskip("bitsandbytes")
    return bnb.nn.Linear4bit(
        layer.in_features, layer.out_features, compute_dtype=torch.bfloat16, quant_type="nf4"
    )


def _eight_bits(layer: nn.Linear) -> nn.Module:
    bnb = pytest.importorskip("bitsandbytes")
    return bnb.nn.Linear8bitLt(layer.in_features, layer.out_features, has_fp16_weights=False)


quantizations = pytest.mark.parametrize(
    "quantize",
    [
        pytest.param(_torchao_int8, id="torchao int8"),
        pytest.param(_bitsandbytes(_eight_bits), id="bitsandbytes int8"),
        pytest.param(_bitsandbytes(_four_bits), id="bitsandbytes nf4"),
    ],
)


def _base_outputs(model: nn.Module) -> list[Tensor]:
    """What the weights beside the adapters give."""
    torch.manual_seed(1)
    return [
        layer.base(torch.randn(2, layer.in_features, dtype=torch.bfloat16))
        for layer in sparse_layers(model).values()
    ]


@quantizations
def test_a_quantised_model_trains_beside_weights_that_stay_as_they_are(
    quantize: Callable[[nn.Module], None], tmp_path: Path
) -> None:
    model = _model()
    basis = random_basis(model, BERT_GROUPS, ranks=(32, 16))
    quantize(model)
    batch = batch_for(model)
    plain = model(**batch).logits.detach()
    sparsify(model, basis)
    layers = sparse_layers(model)
    assert all(isinstance(layer, AdapterLinear) for layer in layers.values())
    assert all(layer.coordinates.dtype == torch.float32 for layer in layers.values())
    torch.testing.assert_close(model(**batch).logits, plain)
    before = _base_outputs(model)
    optimizer = build_optimizer(model, lr=5e-2)
    losses = []
    for _ in range(20):
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    for output, expected in zip(_base_outputs(model), before, strict=True):
        assert torch.equal(output, expected)
    save_adapter(model, tmp_path / "adapter")
    fresh = _model()
    quantize(fresh)
    load_adapter(fresh, tmp_path / "adapter", basis)
    torch.testing.assert_close(fresh(**batch).logits, model(**batch).logits)
    with pytest.raises(UnsupportedModel, match=r"layer\.0\.intermediate.*quantised.*cannot be mer"):
        merge(model)
    # The adapter goes into the model as it was before it was quantised.
    whole = merge(load_adapter(_model(), tmp_path / "adapter", basis))
    torch.testing.assert_close(whole(**batch).logits, model(**batch).logits, rtol=0.1, atol=0.1)


@quantizations
def test_a_selection_that_changes_weights_is_refused_for_quantised_ones(
    quantize: Callable[[nn.Module], None],
) -> None:
    model = _model()
    basis = random_basis(model, BERT_GROUPS)
    quantize(model)
    with pytest.raises(UnsupportedModel, match=r"intermediate.*quantised.*selection='block'"):
        sparsify(model, basis, SparseGradConfig(selection="dynamic"))
    with pytest.raises(UnsupportedModel, match=r"quantised.*engine='adapter'"):
        sparsify(model, basis, SparseGradConfig(engine="folded", selection="block"))


@quantizations
def test_a_warm_up_chooses_rows_and_columns_of_quantised_layers(
    quantize: Callable[[nn.Module], None],
) -> None:
    model = _model()
    basis = random_basis(model, BERT_GROUPS)
    quantize(model)
    config = SparseGradConfig(block=(8, 4))
    sparsify(model, basis, config, warm_up=[batch_for(model, seed) for seed in range(2)])
    for layer in sparse_layers(model).values():
        assert layer.coordinates.shape == (8, 4)
        assert layer.support.rows.tolist() != list(range(8))
