"""A LoRA folder as the real PEFT reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from support.adapters import logits, trained
from support.sparse_models import ARCHITECTURES, BERT_GROUPS, random_basis, tiny_bert
from torch import Tensor, nn

from sparsegrad_client.adapters import (
    Adapter,
    adapter_of,
    load_adapter,
    read_adapter,
    save_lora,
    to_lora,
)
from sparsegrad_client.adapters.peft_lora import CONFIG, TENSORS
from sparsegrad_client.basis import Basis
from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.convert import merge
from sparsegrad_shared.errors import InvalidInput

# PEFT asks transformers for a property by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

FULL = 24  # the rank of the largest layer


def _with_peft(model: nn.Module, folder: Path) -> PeftModel:
    return PeftModel.from_pretrained(model, folder)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
# PEFT finds out by itself that GPT-2 holds its weights the other way round, and says so.
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning")
def test_at_full_rank_peft_gives_the_trained_models_outputs(
    architecture: str, tmp_path: Path
) -> None:
    make, groups = ARCHITECTURES[architecture]
    basis = random_basis(make(), groups)
    model = trained(make(), basis)
    lora = to_lora(adapter_of(model), basis, FULL)
    save_lora(lora, tmp_path / "lora")
    loaded = _with_peft(make(), tmp_path / "lora")
    assert not torch.allclose(logits(make()), logits(model))
    # PEFT holds the factors in single precision.
    torch.testing.assert_close(logits(loaded.get_base_model()), logits(model), rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def basis() -> Basis:
    return random_basis(tiny_bert(), BERT_GROUPS)


@pytest.fixture(scope="module")
def adapter(basis: Basis) -> Adapter:
    return adapter_of(trained(tiny_bert(), basis, SparseGradConfig(entries=60)))


def _dense_weights(model: nn.Module, names: tuple[str, ...]) -> dict[str, Tensor]:
    modules = dict(model.named_modules())
    return {name: modules[name].weight.detach() for name in names}


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_at_a_low_rank_the_error_said_is_that_of_pefts_weights(
    rank: int, adapter: Adapter, basis: Basis, tmp_path: Path
) -> None:
    lora = to_lora(adapter, basis, rank)
    save_lora(lora, tmp_path / "lora")
    names = tuple(adapter.layers)
    plain = _dense_weights(tiny_bert(), names)
    exact = _dense_weights(merge(load_adapter(tiny_bert(), adapter, basis)), names)
    near = _dense_weights(_with_peft(tiny_bert(), tmp_path / "lora").merge_and_unload(), names)
    for name in names:
        missed = torch.linalg.norm(near[name] - exact[name])
        change = torch.linalg.norm(exact[name] - plain[name])
        assert lora.layers[name].error == pytest.approx(float(missed / change), abs=1e-6)
    assert lora.error > 0.01


def test_biases_of_the_layers_and_other_modules_come_along(basis: Basis, tmp_path: Path) -> None:
    config = SparseGradConfig(entries=9, train_bias=True, trainable=("classifier", "LayerNorm"))
    model = trained(tiny_bert(), basis, config)
    save_lora(to_lora(adapter_of(model), basis, FULL), tmp_path / "lora")
    loaded = _with_peft(tiny_bert(), tmp_path / "lora")
    torch.testing.assert_close(logits(loaded.get_base_model()), logits(model), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        logits(loaded.merge_and_unload()), logits(model), rtol=1e-5, atol=1e-6
    )


def test_the_base_model_is_the_same_when_the_lora_is_off(
    adapter: Adapter, basis: Basis, tmp_path: Path
) -> None:
    save_lora(to_lora(adapter, basis, 4), tmp_path / "lora")
    loaded = _with_peft(tiny_bert(), tmp_path / "lora")
    with loaded.disable_adapter():
        torch.testing.assert_close(logits(loaded.get_base_model()), logits(tiny_bert()))


def test_the_folder_holds_no_more_than_the_factors_and_the_head(
    adapter: Adapter, basis: Basis, tmp_path: Path
) -> None:
    save_lora(to_lora(adapter, basis, 2), tmp_path / "lora")
    config = json.loads((tmp_path / "lora" / CONFIG).read_text())
    assert config["base_model_name_or_path"] == "tests/random"
    assert config["modules_to_save"] == ["classifier"]
    assert sorted(config["target_modules"]) == sorted(adapter.layers)
    factors = len(adapter.layers) * 2 * (16 + 24)
    head = sum(value.numel() for value in adapter.parameters.values())
    assert (tmp_path / "lora" / TENSORS).stat().st_size < 8 * (factors + head) + 3000


def test_a_folder_that_holds_something_is_left_alone(
    adapter: Adapter, basis: Basis, tmp_path: Path
) -> None:
    lora = to_lora(adapter, basis, 2)
    save_lora(lora, tmp_path / "lora")
    with pytest.raises(InvalidInput, match="expected a new or empty folder, found adapter_"):
        save_lora(lora, tmp_path / "lora")


def test_a_parameter_that_is_in_no_module_is_refused(
    adapter: Adapter, basis: Basis, tmp_path: Path
) -> None:
    odd = replace(adapter, parameters={"temperature": torch.ones(1)})
    with pytest.raises(InvalidInput, match="'temperature' of the model itself"):
        save_lora(to_lora(odd, basis, 2), tmp_path / "lora")
    assert not (tmp_path / "lora").exists()


def test_a_lora_folder_is_not_taken_for_an_adapter(
    adapter: Adapter, basis: Basis, tmp_path: Path
) -> None:
    save_lora(to_lora(adapter, basis, 2), tmp_path / "lora")
    with pytest.raises(InvalidInput, match=r"lora: expected an adapter of SparseGrad.*of PEFT"):
        read_adapter(tmp_path / "lora")
