"""Models by short name, hub id or folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from sparsegrad_client.models import (
    find_model,
    load_causal,
    load_classifier,
    load_tokenizer,
)
from sparsegrad_client.presets import SHORT_NAMES
from sparsegrad_client.quickstart.run import minilm
from sparsegrad_shared.errors import InvalidInput, UnsupportedModel


def _tiny_bert(folder: Path) -> Path:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", sorted(SHORT_NAMES))
def test_a_short_name_is_a_hub_id(name: str) -> None:
    assert find_model(name).location == SHORT_NAMES[name] == find_model(SHORT_NAMES[name]).id


@pytest.mark.parametrize("name", ["mine", "model"])
def test_a_folder_is_called_by_its_name_never_by_its_path(tmp_path: Path, name: str) -> None:
    folder = _tiny_bert(tmp_path / "team-bert" / name)
    place = find_model(str(folder))
    assert place.id == ("mine" if name == "mine" else "team-bert")
    assert place.location == str(folder)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "expected config.json, or exactly one .gguf file; found 0"),
        (["a.gguf", "b.gguf"], "found 2 .gguf files"),
    ],
)
def test_a_folder_without_a_model_is_refused(tmp_path: Path, files: list[str], said: str) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(InvalidInput, match=said):
        find_model(str(tmp_path))


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").touch()
    with pytest.raises(InvalidInput, match="a file, not a folder"):
        find_model(str(tmp_path / "weights.safetensors"))
    with pytest.raises(InvalidInput, match="not there"):
        find_model(str(tmp_path / "nowhere"))


def test_a_new_head_is_the_seeds_and_the_body_is_the_folders(tmp_path: Path) -> None:
    place = find_model(str(_tiny_bert(tmp_path / "bert")))
    first, same, other = (
        load_classifier(place, ("no", "yes", "so"), 0, dtype=torch.float32, seed=seed)
        for seed in (1, 1, 2)
    )
    assert torch.equal(first.classifier.weight, same.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    body = BertModel.from_pretrained(place.location)
    assert torch.equal(
        first.bert.encoder.layer[0].output.dense.weight, body.encoder.layer[0].output.dense.weight
    )
    assert first.config.id2label == {0: "no", 1: "yes", 2: "so"}
    assert not first.training


def test_an_encoder_is_no_language_model(tmp_path: Path) -> None:
    place = find_model(str(_tiny_bert(tmp_path / "bert")))
    with pytest.raises(UnsupportedModel, match="give --dataset and --label-column"):
        load_causal(place, dtype=torch.float32)


def test_pickled_weights_are_never_loaded(tmp_path: Path) -> None:
    folder = _tiny_bert(tmp_path / "bert")
    weights = BertModel.from_pretrained(folder).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(InvalidInput, match="cannot be loaded"):
        load_classifier(find_model(str(folder)), ("a", "b"), 0, dtype=torch.float32, seed=0)


def test_a_tokenizer_pads_on_the_right() -> None:
    tokenizer = load_tokenizer(minilm())
    assert tokenizer.padding_side == "right"
    assert tokenizer.pad_token_id is not None


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text("{}")
    with pytest.raises(InvalidInput, match="the tokenizer in folder .*bare cannot be loaded"):
        load_tokenizer(find_model(str(tmp_path / "bare")))
