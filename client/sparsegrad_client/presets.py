"""Which layers of an architecture share a basis, when nobody says otherwise.

The paper adapts the linear layers of the MLP blocks: all blocks of BERT and RoBERTa, every third
block of LLaMA-2 with `up` and `down` only, 100,000 entries a layer. Other architectures follow
the one they resemble. A group's regex is matched against a layer's whole path in the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sparsegrad_shared.errors import InvalidInput, UnsupportedModel

_SLICE = re.compile(r"(-?\d+)?:(-?\d+)?(?::(-?\d+)?)?")


@dataclass(frozen=True)
class Preset:
    """The groups of an architecture.

    Attributes:
        groups: a regex on layer paths for each group.
        blocks: which blocks, as a slice of their indices.
        entries: entries of G̃ to update a layer; None leaves it to the density.
    """

    groups: Mapping[str, str]
    blocks: str = ":"
    entries: int | None = None


def parse_blocks(blocks: str) -> slice:
    """Blocks as a slice of their indices.

    Raises:
        InvalidInput: when it is not written as one, or its step is 0.
    """
    match = _SLICE.fullmatch(blocks)
    parts = [None if part is None else int(part) for part in match.groups()] if match else [0]
    if match is None or parts[2] == 0:
        raise InvalidInput(f'blocks: expected a slice such as "::3"; got {blocks!r}')
    return slice(*parts)


def _mlp(layer_path: str, **roles: str) -> dict[str, str]:
    return {group: rf"(?:.*\.)?{layer_path}\.{path}" for group, path in roles.items()}


_BERT = Preset(
    _mlp(r"encoder\.layer\.\d+", intermediate=r"intermediate\.dense", output=r"output\.dense")
)
_LLAMA = Preset(
    _mlp(r"layers\.\d+\.mlp", up="up_proj", down="down_proj"), blocks="::3", entries=100_000
)
_T5_LAYER = r"block\.\d+\.layer\.\d+\.DenseReluDense"
_T5 = Preset(_mlp(_T5_LAYER, wi="wi", wo="wo"))
_T5_GATED = Preset(_mlp(_T5_LAYER, wi_0="wi_0", wi_1="wi_1", wo="wo"))

_PRESETS: Mapping[str, Preset] = {
    "bert": _BERT,
    "roberta": _BERT,
    "distilbert": Preset(_mlp(r"transformer\.layer\.\d+\.ffn", lin1="lin1", lin2="lin2")),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": _LLAMA,
    "gemma3": _LLAMA,
    "gemma3_text": _LLAMA,
    "gpt2": Preset(_mlp(r"h\.\d+\.mlp", c_fc="c_fc", c_proj="c_proj")),
    "t5": _T5,
    "opt": Preset(_mlp(r"layers\.\d+", fc1="fc1", fc2="fc2")),
}

SHORT_NAMES: Mapping[str, str] = {
    "bert-base": "google-bert/bert-base-uncased",
    "bert-large": "google-bert/bert-large-uncased",
    "distilbert": "distilbert/distilbert-base-uncased",
    "gemma-2-2b": "google/gemma-2-2b",
    "gpt2": "openai-community/gpt2",
    "llama-2-7b": "meta-llama/Llama-2-7b-hf",
    "llama-2-13b": "meta-llama/Llama-2-13b-hf",
    "llama-3-8b": "meta-llama/Meta-Llama-3-8B",
    "minilm": "sentence-transformers/all-MiniLM-L6-v2",
    "mistral-7b": "mistralai/Mistral-7B-v0.1",
    "opt-125m": "facebook/opt-125m",
    "roberta-base": "FacebookAI/roberta-base",
    "roberta-large": "FacebookAI/roberta-large",
    "smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "t5-base": "google-t5/t5-base",
}


def preset_for(config: object) -> Preset:
    """The preset of a model, by its config.

    Args:
        config: a Hugging Face config; its `model_type` says the architecture.

    Raises:
        UnsupportedModel: when the architecture has no preset; says how to name layers by hand.
    """
    model_type = getattr(config, "model_type", None)
    if model_type == "t5" and getattr(config, "is_gated_act", False):
        return _T5_GATED
    preset = _PRESETS.get(model_type) if isinstance(model_type, str) else None
    if preset is None:
        raise UnsupportedModel(
            f"no preset for architecture {model_type!r}; there are {', '.join(_PRESETS)}. Name "
            "the layers by hand, a regex a group that matches their whole path: "
            'spec=LayerSpec(groups={"up": r".*\\.layers\\.\\d+\\.mlp\\.up_proj"}, blocks="::3")'
        )
    return preset
