"""Files of JSON lines: whole lines, whoever adds to them and whenever they are killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sparsegrad_shared.errors import InvalidInput

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def benchmarks() -> Iterator[None]:
    """Their modules can be imported, as their programs import them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield


def test_a_line_that_was_cut_anywhere_makes_way_for_the_next(tmp_path: Path) -> None:
    from json_lines import append_row, read_rows

    path = tmp_path / "lines.jsonl"
    rows = [{"text": "grün\nblau"}, {"text": "é" * 3, "number": 2}]
    for row in rows:
        append_row(path, row)
    whole = path.read_bytes()
    begin = whole.index(b"\n") + 1
    for end in range(begin, len(whole) + 1):
        path.write_bytes(whole[:end])
        there = [row for _, row in read_rows(path)]
        assert there == (rows if end >= len(whole) - 1 else rows[:1])
        append_row(path, {"next": end})
        # Any program can read every line of it.
        read = [json.loads(line) for line in path.read_text().splitlines()]
        assert read == [*there, {"next": end}]


def test_lines_of_many_writers_are_all_there(tmp_path: Path) -> None:
    from json_lines import append_row, read_rows

    path = tmp_path / "lines.jsonl"
    rows = [{"number": number, "text": "x" * 10_000} for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda row: append_row(path, row), rows))
    assert sorted(row["number"] for _, row in read_rows(path)) == list(range(40))


@pytest.mark.parametrize("line", ["{", "[1]", "null", "\udcff"])
def test_a_line_in_the_middle_that_is_no_object_is_named(tmp_path: Path, line: str) -> None:
    from json_lines import read_rows

    path = tmp_path / "lines.jsonl"
    path.write_bytes(f"{{}}\n\n{line}\n{{}}\n".encode(errors="surrogateescape"))
    with pytest.raises(InvalidInput, match="line 3: expected a JSON object"):
        read_rows(path)
    path.write_bytes(b"{}\n\n{}\n")
    assert [number for number, _ in read_rows(path)] == [1, 3]
