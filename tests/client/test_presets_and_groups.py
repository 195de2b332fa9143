"""Layer groups by architecture and by regex."""

from __future__ import annotations

import pytest
import torch
from support import tiny_models
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from sparsegrad_client.groups import LayerSpec, auto_spec, find_groups
from sparsegrad_client.presets import SHORT_NAMES, preset_for
from sparsegrad_shared.errors import InvalidInput, ShapeMismatch, UnsupportedModel


def _summary(model: nn.Module, spec: LayerSpec) -> dict[str, tuple[int, int, int]]:
    return {g.name: (len(g.layers), g.d_out, g.d_in) for g in find_groups(model, spec)}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (tiny_models.bert(), {"intermediate": (2, 24, 16), "output": (2, 16, 24)}),
        (tiny_models.distilbert(), {"lin1": (2, 24, 16), "lin2": (2, 16, 24)}),
        (tiny_models.gpt2(), {"c_fc": (2, 24, 16), "c_proj": (2, 16, 24)}),
        (tiny_models.opt(), {"fc1": (2, 24, 16), "fc2": (2, 16, 24)}),
        (tiny_models.t5(gated=False), {"wi": (4, 24, 16), "wo": (4, 16, 24)}),
        (
            tiny_models.t5(gated=True),
            {"wi_0": (4, 24, 16), "wi_1": (4, 24, 16), "wo": (4, 16, 24)},
        ),
        (tiny_models.llama(blocks=4), {"up": (2, 24, 16), "down": (2, 16, 24)}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_auto_finds_the_mlp_layers_of_an_architecture(
    model: PreTrainedModel, expected: dict[str, tuple[int, int, int]]
) -> None:
    assert _summary(model, auto_spec(model)) == expected


def test_auto_finds_the_layers_of_roberta() -> None:
    model = RobertaForSequenceClassification(
        RobertaConfig(
            vocab_size=30,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=24,
            max_position_embeddings=20,
        )
    )
    assert set(_summary(model, auto_spec(model))) == {"intermediate", "output"}


@pytest.mark.parametrize(
    "model_type", ["mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"]
)
def test_auto_finds_up_and_down_in_the_llama_family(model_type: str) -> None:
    config = AutoConfig.for_model(
        model_type,
        vocab_size=40,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=32,
        pad_token_id=0,
    )
    with torch.device("cpu"):
        model = AutoModelForCausalLM.from_config(config)
    groups = find_groups(model, auto_spec(model))
    assert {g.name: [layer.block for layer in g.layers] for g in groups} == {
        "up": [0, 3],
        "down": [0, 3],
    }


def test_llama_preset_is_the_papers() -> None:
    preset = preset_for(tiny_models.llama().config)
    assert (set(preset.groups), preset.blocks, preset.entries) == ({"up", "down"}, "::3", 100_000)
    assert SHORT_NAMES["llama-2-7b"] == "meta-llama/Llama-2-7b-hf"


def test_blocks_choose_from_the_blocks_that_hold_such_layers() -> None:
    model = tiny_models.llama(blocks=5)
    (group,) = find_groups(model, LayerSpec({"gate": r".*\.gate_proj"}, blocks="-2:"))
    assert [layer.path for layer in group.layers] == [
        "model.layers.3.mlp.gate_proj",
        "model.layers.4.mlp.gate_proj",
    ]


def test_a_basis_a_layer_makes_groups_of_one_layer() -> None:
    model = tiny_models.bert()
    names = [g.name for g in find_groups(model, auto_spec(model, share="layer"))]
    assert names == ["intermediate.0", "intermediate.1", "output.0", "output.1"]


def test_a_module_or_weight_that_is_reached_twice_is_met_once() -> None:
    layer, other = nn.Linear(4, 4), nn.Linear(4, 4)
    other.weight = layer.weight
    model = nn.ModuleDict({"a": layer, "b": layer, "c": other, "d": nn.Linear(4, 4)})
    (group,) = find_groups(model, LayerSpec({"all": "[a-d]"}))
    assert [layer.path for layer in group.layers] == ["a", "d"]


def test_a_regex_has_to_match_the_whole_path_and_names_candidates_when_it_does_not() -> None:
    with pytest.raises(InvalidInput, match=r"'up'.*encoder\.layer\.\d\.intermediate\.dense"):
        find_groups(tiny_models.bert(), LayerSpec({"up": r"intermediate\.dense"}))


def test_layers_of_one_group_have_one_shape_and_one_type() -> None:
    model = nn.ModuleDict({"a": nn.Linear(4, 3), "b": nn.Linear(4, 5)})
    with pytest.raises(ShapeMismatch, match="a is 3 x 4, b is 5 x 4"):
        find_groups(model, LayerSpec({"all": ".*"}))
    model = nn.ModuleDict({"a": nn.Linear(4, 3), "b": nn.Linear(4, 3, dtype=torch.float64)})
    with pytest.raises(ShapeMismatch, match="one data type"):
        find_groups(model, LayerSpec({"all": ".*"}))


def test_a_layer_belongs_to_one_group() -> None:
    model = nn.ModuleDict({"a": nn.Linear(4, 3)})
    with pytest.raises(InvalidInput, match="two groups, x and y"):
        find_groups(model, LayerSpec({"x": "a", "y": ".*"}))


def test_an_unknown_architecture_says_how_to_name_layers() -> None:
    with pytest.raises(UnsupportedModel, match="LayerSpec"):
        auto_spec(nn.Linear(2, 2))


@pytest.mark.parametrize("blocks", ["3", "a:b", "::0", "1:2:3:4"])
def test_blocks_that_are_no_slice_are_refused(blocks: str) -> None:
    with pytest.raises(InvalidInput, match="slice"):
        LayerSpec({"x": "a"}, blocks=blocks)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": {}}, "at least one group"),
        ({"groups": {"a/b": "x"}}, "name"),
        ({"groups": {"a": "("}}, "not a regex"),
        ({"groups": {"a": "x"}, "share": "block"}, "role"),
    ],
)
def test_a_spec_that_cannot_be_used_is_refused_when_it_is_made(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        LayerSpec(**arguments)  # type: ignore[arg-type]


def test_blocks_that_leave_nothing_are_refused() -> None:
    with pytest.raises(InvalidInput, match="leaves none"):
        find_groups(tiny_models.bert(), auto_spec(tiny_models.bert(), blocks="7:"))
