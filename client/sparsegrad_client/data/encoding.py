"""Rows to tokens.

An example is a map from a model's argument to a list of token-wise whole numbers (`input_ids`,
`attention_mask`, perhaps `token_type_ids`), and `labels`: one class id, or a token id for each
position, `IGNORED` where the loss does not look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from sparsegrad_shared.errors import InvalidInput

from .columns import Columns, class_ids
from .tables import Table

IGNORED = -100  # what PyTorch's cross-entropy passes over
PROMPT_SEPARATOR = "\n\n"

Example = dict[str, Any]


def encode_classification(
    table: Table,
    columns: Columns,
    classes: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> list[Example]:
    """Examples of one text, or a pair of texts, and a class.

    Args:
        table: the rows.
        columns: one or two columns of text, and the label.
        classes: names of the classes, by id.
        tokenizer: the model's.
        max_length: tokens of an example; the rest is cut off.

    Raises:
        InvalidInput: when a text is missing, or a class is not known.
    """
    if columns.label is None:
        raise InvalidInput("classification needs a label column")
    texts = [_texts(table, name) for name in columns.text]
    encoded = tokenizer(*texts, truncation=True, max_length=max_length)
    labels = class_ids(table, columns.label, classes)
    return [
        {**{name: encoded[name][row] for name in encoded}, "labels": label}
        for row, label in enumerate(labels)
    ]


def encode_causal(
    table: Table, columns: Columns, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[Example]:
    """Examples for a causal language model, the end-of-text token last.

    With several columns all but the last are the prompt, and the loss looks at the last only. A
    prompt so long that nothing of the answer is left is cut at its front.

    Args:
        table: the rows.
        columns: the columns of text.
        tokenizer: the model's.
        max_length: tokens of an example.

    Raises:
        InvalidInput: when a text is missing.
    """
    *prompts, answers = [_texts(table, name) for name in columns.text]
    examples = []
    for row, answer in enumerate(answers):
        parts = [column[row] for column in prompts if column[row].strip()]
        prompt = tokenizer(PROMPT_SEPARATOR.join([*parts, ""]))["input_ids"] if parts else []
        reply = tokenizer(answer, add_special_tokens=not prompt)["input_ids"]
        if tokenizer.eos_token_id is not None:
            reply = [*reply, tokenizer.eos_token_id]
        reply = reply[
            : max_length if not prompt else max(max_length // 2, max_length - len(prompt))
        ]
        prompt = prompt[max(0, len(prompt) + len(reply) - max_length) :]
        examples.append(
            {
                "input_ids": prompt + reply,
                "attention_mask": [1] * (len(prompt) + len(reply)),
                "labels": [IGNORED] * len(prompt) + reply,
            }
        )
    return [example for example in examples if len(example["input_ids"]) > 1]


def _texts(table: Table, name: str) -> list[str]:
    texts = list(table.rows[name])
    if None in texts:
        raise InvalidInput(
            f"column {name!r} of data set {table.id} has no text in row {texts.index(None) + 1}"
        )
    return texts
