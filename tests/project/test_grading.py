"""Questions and conversations: what a model is asked, and in what words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
from support.small_llama import QUESTIONS, load_small_llama, save_small_llama, write_lines

from sparsegrad_client.data.columns import Columns
from sparsegrad_client.data.encoding import encode_causal
from sparsegrad_client.data.tables import Table
from sparsegrad_shared.errors import InvalidInput

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def benchmarks() -> Iterator[None]:
    """Their modules can be imported, as their programs import them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small LLaMA."""
    folder = tmp_path_factory.mktemp("model")
    save_small_llama(folder)
    return folder


@pytest.mark.parametrize("prompt", ["chat", "plain"])
def test_earlier_answers_stay_in_the_conversation(model: Path, prompt: Any) -> None:
    from grading.conversation import Generation, Respondent

    tokenizer, tiny = load_small_llama(model)
    respondent = Respondent(tiny, tokenizer, prompt, Generation(max_new_tokens=8))
    expected = {
        "chat": "<user>Why?<end><assistant>So.<end><user>How?<end><assistant>",
        "plain": "Why?\n\nSo.\n\nHow?\n\n",
    }
    assert tokenizer.decode(respondent.encode(["Why?", "So.", "How?"])) == expected[prompt]


def test_a_plain_prompt_is_the_one_that_training_has(model: Path, tmp_path: Path) -> None:
    from grading.conversation import Generation, Respondent
    from grading.questions import read_questions

    rows = [
        {"instruction": "Say it.", "input": "The sky", "output": "is blue"},
        {"instruction": "What is blue?", "input": " ", "output": "The sky"},
    ]
    tokenizer, tiny = load_small_llama(model)
    columns = Columns(text=("instruction", "input", "output"), label=None)
    table = Table("rows", datasets.Dataset.from_list(rows))
    trained = encode_causal(table, columns, tokenizer, 128)
    respondent = Respondent(tiny, tokenizer, "plain", Generation(max_new_tokens=8))
    asked = read_questions(write_lines(tmp_path / "rows.jsonl", rows))
    assert [question.id for question in asked] == [1, 2]
    for question, example in zip(asked, trained, strict=True):
        prompt = [token for token, label in zip(*_of(example), strict=True) if label == -100]
        assert respondent.encode(question.turns) == prompt


def _of(example: dict[str, Any]) -> tuple[list[int], list[int]]:
    return example["input_ids"], example["labels"]


def test_a_prompt_without_room_for_its_answer_is_cut_at_its_front(model: Path) -> None:
    from grading.conversation import Generation, Respondent

    tokenizer, tiny = load_small_llama(model)
    respondent = Respondent(tiny, tokenizer, "plain", Generation(max_new_tokens=250))
    whole = tokenizer("one two three four five six\n\n")["input_ids"]
    assert respondent.encode(["one two three four five six"]) == whole[-6:]
    with pytest.raises(InvalidInput, match="takes 256 tokens"):
        Respondent(tiny, tokenizer, "plain", Generation(max_new_tokens=256))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"question_id": 1, "turns": ["Why?"', "line 2: expected a JSON object"),
        ("[1]", "line 2: expected a JSON object"),
        ('{"question_id": "x", "turns": ["Why?"]}', "line 2: question_id: expected a whole number"),
        ('{"turns": ["Why?"]}', "line 2: question_id: expected a whole number, got None"),
        ('{"question_id": 82, "turns": ["Why?"]}', "line 2: a second question_id 82"),
        ('{"question_id": 1, "turns": []}', "line 2: turns: expected a list of at least one text"),
        ('{"question_id": 1, "turns": ["a", 2]}', "line 2: turns: expected text, got 2"),
        ('{"question_id": 1, "turns": [" "]}', "line 2: expected text, got one that is empty"),
        ('{"question_id": 1, "category": 3, "turns": ["a"]}', "line 2: category: expected text"),
        ('{"instruction": 3}', "line 2: instruction: expected text, got 3"),
        ('{"instruction": ""}', "line 2: instruction: expected text, got one that is empty"),
        ('{"prompt": "Why?"}', "expected a field turns or instruction; the fields are prompt"),
    ],
)
def test_a_bad_line_is_named_with_its_field(tmp_path: Path, line: str, said: str) -> None:
    from grading.questions import read_questions

    path = tmp_path / "question.jsonl"
    path.write_text(f"{json.dumps(QUESTIONS[1])}\n{line}\n")
    with pytest.raises(InvalidInput, match=said.replace("[", r"\[")):
        read_questions(path)
