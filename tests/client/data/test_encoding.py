"""Rows to tokens, with MiniLM's real tokenizer and one of bytes."""

from __future__ import annotations

import datasets
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from sparsegrad_client.data.columns import Columns
from sparsegrad_client.data.encoding import IGNORED, encode_causal, encode_classification
from sparsegrad_client.data.tables import Table
from sparsegrad_client.models import load_tokenizer
from sparsegrad_client.quickstart.run import minilm
from sparsegrad_shared.errors import InvalidInput


@pytest.fixture(scope="module")
def words() -> PreTrainedTokenizerBase:
    return load_tokenizer(minilm())


@pytest.fixture(scope="module")
def letters() -> PreTrainedTokenizerBase:
    """A token for each byte, and one for the end of the text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate([*alphabet, "<end>"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")


def table(**columns: list[object]) -> Table:
    return Table("it", datasets.Dataset.from_dict(columns))


def test_a_text_and_a_pair_have_the_models_own_tokens(words: PreTrainedTokenizerBase) -> None:
    data = table(a=["The cat sat."], b=["It sat."], label=["yes"])
    for columns in (Columns(("a",), "label"), Columns(("a", "b"), "label")):
        (example,) = encode_classification(data, columns, ("no", "yes"), words, 32)
        texts = [data.rows[name][0] for name in columns.text]
        assert example["input_ids"] == words(*texts)["input_ids"]
        assert example["labels"] == 1


def test_an_example_is_cut_at_max_length(words: PreTrainedTokenizerBase) -> None:
    data = table(a=["word " * 100], label=[0])
    (example,) = encode_classification(data, Columns(("a",), "label"), ("0", "1"), words, 16)
    assert {len(example[name]) for name in ("input_ids", "attention_mask")} == {16}


def test_the_loss_looks_at_the_answer_only(letters: PreTrainedTokenizerBase) -> None:
    data = table(ask=["1+1", "hi"], more=["", "you"], answer=["2", "yes"])
    first, second = encode_causal(data, Columns(("ask", "more", "answer"), None), letters, 64)
    assert letters.decode(first["input_ids"]) == "1+1\n\n2<end>"
    assert letters.decode(second["input_ids"]) == "hi\n\nyou\n\nyes<end>"
    for example, answer in ((first, "2<end>"), (second, "yes<end>")):
        looked_at = [label for label in example["labels"] if label != IGNORED]
        assert letters.decode(looked_at) == answer
        assert len(example["labels"]) == len(example["input_ids"])


def test_one_column_is_looked_at_whole(letters: PreTrainedTokenizerBase) -> None:
    (example,) = encode_causal(table(text=["abc"]), Columns(("text",), None), letters, 64)
    assert example["labels"] == example["input_ids"]
    assert letters.decode(example["input_ids"]) == "abc<end>"


@pytest.mark.parametrize(("prompt", "answer"), [(50, 3), (3, 50), (50, 50), (6, 6)])
def test_a_long_example_keeps_some_of_the_answer(
    letters: PreTrainedTokenizerBase, prompt: int, answer: int
) -> None:
    data = table(ask=["p" * prompt], answer=["a" * answer])
    (example,) = encode_causal(data, Columns(("ask", "answer"), None), letters, 16)
    assert len(example["input_ids"]) <= 16
    assert sum(label != IGNORED for label in example["labels"]) >= min(answer + 1, 8)
    # What is left of the prompt is its end, next to the answer.
    assert letters.decode(example["input_ids"]).rstrip("a<end>").endswith("\n\n")


def test_a_missing_text_is_named_with_its_row(words: PreTrainedTokenizerBase) -> None:
    data = table(a=["x", None], label=[0, 1])
    with pytest.raises(InvalidInput, match="'a' of data set it has no text in row 2"):
        encode_classification(data, Columns(("a",), "label"), ("0", "1"), words, 16)
