"""Questions, as FastChat's judge has them: ``fastchat/llm_judge/data/<bench>/question.jsonl``.

A line is an object with `question_id` (a whole number), `category` and `turns`, what the user says
turn by turn. A line of a data set of instructions, with `instruction` and perhaps `input`, is a
question of one turn; its number in the file is its id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from json_lines import Row, append_row, read_rows

from sparsegrad_client.data.encoding import PROMPT_SEPARATOR
from sparsegrad_shared.digests import digest_of
from sparsegrad_shared.errors import InvalidInput

INSTRUCTION = "instruction"  # the category of those that have none


@dataclass(frozen=True)
class Question:
    """What one model after the other is asked.

    Attributes:
        id: FastChat sorts by it.
        category: FastChat's judge grades some with a reference answer, others without.
        turns: what the user says; at least one text.
    """

    id: int
    category: str
    turns: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Of the texts: an answer is one to these."""
        return digest_of([json.dumps(self.turns).encode()])


def read_questions(path: Path) -> list[Question]:
    """The questions of a file.

    Raises:
        InvalidInput: when there are none, or a line is none; names the line and the field.
    """
    if not path.is_file():
        raise InvalidInput(f"--questions {path}: there is no such file")
    found: dict[int, Question] = {}
    for number, row in read_rows(path):
        question = _question(row, number, f"{path} line {number}")
        if question.id in found:
            raise InvalidInput(f"{path} line {number}: a second question_id {question.id}")
        found[question.id] = question
    if not found:
        raise InvalidInput(f"--questions {path}: there are no questions in it")
    return list(found.values())


def write_questions(path: Path, questions: Sequence[Question]) -> None:
    """Write a file in FastChat's format, or what is missing at the end of one.

    Raises:
        InvalidInput: when the file holds other questions.
    """
    there = read_questions(path) if read_rows(path) else []
    if there != list(questions[: len(there)]):
        raise InvalidInput(f"--write-questions {path}: it holds other questions; name a new file")
    for question in questions[len(there) :]:
        row = {"question_id": question.id, "category": question.category, "turns": question.turns}
        append_row(path, row)


def _question(row: Row, number: int, where: str) -> Question:
    if "turns" in row:
        given = row.get("question_id")
        if type(given) is not int:
            raise InvalidInput(f"{where}: question_id: expected a whole number, got {given!r}")
        category = row.get("category", "")
        if not isinstance(category, str):
            raise InvalidInput(f"{where}: category: expected text, got {category!r}")
        return Question(given, category, _turns(row["turns"], where))
    if "instruction" in row:
        parts = [_text(row.get(name) or "", f"{where}: {name}") for name in (INSTRUCTION, "input")]
        prompt = PROMPT_SEPARATOR.join(part for part in parts if part.strip())
        return Question(number, INSTRUCTION, _turns([prompt], f"{where}: {INSTRUCTION}"))
    fields = ", ".join(row) or "none"
    raise InvalidInput(f"{where}: expected a field turns or instruction; the fields are {fields}")


def _turns(given: object, where: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not given:
        raise InvalidInput(f"{where}: turns: expected a list of at least one text, got {given!r}")
    turns = tuple(_text(turn, f"{where}: turns") for turn in given)
    if not all(turn.strip() for turn in turns):
        raise InvalidInput(f"{where}: expected text, got one that is empty")
    return turns


def _text(given: object, where: str) -> str:
    if not isinstance(given, str):
        raise InvalidInput(f"{where}: expected text, got {given!r}")
    return given
