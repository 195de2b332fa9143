"""Answers in FastChat's format: ``model_answer/<model>.jsonl``, one question's a line.

FastChat reads `question_id`, `model_id` and `choices`, a list of ``{"index", "turns"}``, and lets
other fields be. Ours beside those: `question`, the digest of what was asked, `made_with`, and what
it was made on. A line is added when its question is answered, so that what was cut off goes on.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from json_lines import append_row, read_rows
from machine import commit, machine, versions

from sparsegrad_shared.errors import InvalidInput

from .questions import Question


class AnswerFile:
    """The answers that there are, and new ones.

    Args:
        path: the file; made with the first answer.
        model_id: what the judge calls the model.
        made_with: the model, and how it was asked; the same for every line.

    Raises:
        InvalidInput: when answers are there that another model gave, or that were made otherwise.
    """

    def __init__(self, path: Path, model_id: str, made_with: Mapping[str, Any]) -> None:
        self._path = path
        self._same = {"model_id": model_id, "made_with": dict(made_with)}
        self._answered = set()
        for number, row in read_rows(path):
            self._check(row, f"{path} line {number}")
            self._answered.add((row.get("question_id"), row.get("question")))

    def __contains__(self, question: Question) -> bool:
        """Whether it is answered; one that was reworded since is not."""
        return (question.id, question.digest) in self._answered

    def add(self, question: Question, turns: Sequence[str]) -> None:
        """Write the answers to a question's turns; they are on disk on return."""
        row = {
            "question_id": question.id,
            "answer_id": uuid.uuid4().hex,
            **self._same,
            "choices": [{"index": 0, "turns": list(turns)}],
            "tstamp": time.time(),
            "question": question.digest,
            "machine": machine(),
            "commit": commit(),
            "versions": versions(),
        }
        append_row(self._path, row)
        self._answered.add((question.id, question.digest))

    def _check(self, row: Mapping[str, Any], where: str) -> None:
        for name, ours in self._same.items():
            if row.get(name) != ours:
                raise InvalidInput(
                    f"{where}: {name} is {row.get(name)!r}, and now {ours!r}; take another "
                    "--output, or the same options"
                )
