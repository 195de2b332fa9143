"""A small LLaMA that can be asked something: a tokenizer with a chat template, and a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
QUESTIONS = [
    {"question_id": 81, "category": "writing", "turns": ["What is blue?", "And what is green?"]},
    {
        "question_id": 82,
        "category": "math",
        "turns": ["Is one two?"],
        "reference": ["3"],
    },
]


def _tokenizer() -> PreTrainedTokenizerFast:
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pieces.train_from_iterator([TEMPLATE, json.dumps(QUESTIONS), "The sky is."], trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=pieces, eos_token="<end>", pad_token="<end>")
    made.chat_template = TEMPLATE
    return made


def save_small_llama(folder: Path) -> None:
    """Write a small LLaMA whose makers would have it sample, with a tokenizer."""
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
    )
    made = LlamaForCausalLM(config)
    made.generation_config.update(do_sample=True, temperature=0.9, top_p=0.6)
    made.save_pretrained(folder)


def load_small_llama(folder: Path) -> tuple[PreTrainedTokenizerFast, LlamaForCausalLM]:
    """What `save_small_llama` wrote, for evaluation."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    return tokenizer, LlamaForCausalLM.from_pretrained(folder).eval().requires_grad_(False)


def write_lines(path: Path, rows: Sequence[object]) -> Path:
    """Write a file of JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
