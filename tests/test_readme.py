"""The README is true beyond its code: what it names exists, what it claims was measured.

That its code runs is held with that of all pages, in `project/test_pages.py`.
"""

from __future__ import annotations

import json
import re
import statistics
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "benchmarks" / "results"
# The rows of the README's table, by the method's name in the benchmarks' results.
ROWS = {
    "lora": "LoRA, rank 7",
    "adapter": "`adapter`",
    "folded-feedback": "the default",
    "folded": "`folded` without",
    "reference": "`reference`",
    "regular": "regular fine-tuning",
}


def _row(words: str) -> list[str]:
    found = [line for line in README.splitlines() if line.startswith("|") and words in line]
    assert found, words
    return [cell.strip() for cell in found[0].strip("|").split("|")]


def test_every_file_named_exists() -> None:
    named = re.findall(r"`([\w.-]+\.(?:md|yml))`", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_extra_named_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(re.findall(r"sparsegrad-peft\[(\w+)\]", README))
    assert named
    assert named <= set(project["optional-dependencies"])


def test_speed_and_memory_are_those_of_the_results() -> None:
    measured = json.loads((RESULTS / "training-minilm.json").read_text())["rows"]
    by_method = {row["method"]: row for row in measured}
    for method, words in ROWS.items():
        _, speed, memory, _ = _row(words)
        row = by_method[method]
        assert speed == f"{row['steps_per_second']:.3f}"
        assert memory == f"{row['peak_bytes'] / 2**20:.0f}"


def test_accuracies_are_those_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from evidence.results import read_runs
    from evidence.studies import STUDIES

    lines = STUDIES["quality"].lines(read_runs(RESULTS / "evidence.jsonl"))
    scores = {line.label: line.scores("SST-2") for line in lines}
    for method in ("lora", "adapter", "folded-feedback", "folded", "regular"):
        found = scores[method]
        claimed = f"{statistics.fmean(found):.3f} ± {statistics.stdev(found):.3f}"
        assert _row(ROWS[method])[3] == claimed.replace("0.", ".")
