"""Tables from files, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sparsegrad_client.data.tables import language_reference, read_table
from sparsegrad_shared.errors import InvalidInput

ROWS = [
    {"text": 'He said "no', "label": 1},
    {"text": "NA", "label": 0},
    {"text": "a, b", "label": 1},
]


def _write(path: Path) -> Path:
    match path.suffix:
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        case ".json":
            path.write_text(json.dumps(ROWS))
        case ".tsv":
            lines = [f"{row['text']}\t{row['label']}" for row in ROWS]
            path.write_text("\n".join(["text\tlabel", *lines]) + "\n")
        case ".csv":
            quoted = [(str(row["text"]).replace('"', '""'), row["label"]) for row in ROWS]
            lines = [f'"{text}",{label}' for text, label in quoted]
            path.write_text("\n".join(["text,label", *lines]) + "\n")
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".tsv", ".csv"])
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    table = read_table(str(_write(tmp_path / f"pairs{suffix}")))
    assert list(table.rows) == ROWS
    assert table.id == "pairs"


def test_the_fingerprint_is_of_the_content_not_of_the_format(tmp_path: Path) -> None:
    tables = [read_table(str(_write(tmp_path / f"a{suffix}"))) for suffix in (".tsv", ".jsonl")]
    assert tables[0].fingerprint(["text", "label"]) == tables[1].fingerprint(["text", "label"])
    assert tables[0].fingerprint(["text", "label"]) != tables[0].fingerprint(["label", "text"])
    assert tables[0].fingerprint(["text"]) != tables[0].sample(2, 0).fingerprint(["text"])


def test_the_rows_of_a_txt_are_its_paragraphs(tmp_path: Path) -> None:
    path = tmp_path / "tale.txt"
    path.write_text("One\nparagraph.\n\nAnother.\n")
    assert [row["text"].strip() for row in read_table(str(path)).rows] == [
        "One\nparagraph.",
        "Another.",
    ]


def test_a_file_with_a_common_name_is_called_after_its_folder(tmp_path: Path) -> None:
    (tmp_path / "CoLA").mkdir()
    assert read_table(str(_write(tmp_path / "CoLA" / "train.tsv"))).id == "CoLA"


def test_a_smaller_sample_is_the_beginning_of_a_larger_one(tmp_path: Path) -> None:
    table = language_reference()
    small, large = table.sample(5, 3), table.sample(50, 3)
    assert list(small.rows["text"]) == list(large.rows["text"])[:5]
    assert list(small.rows["text"]) != list(table.sample(5, 4).rows["text"])


def test_a_split_shares_no_row_and_loses_none() -> None:
    table = language_reference()
    kept, held = table.split(40, 0)
    assert len(held.rows) == 40
    assert sorted([*kept.rows["text"], *held.rows["text"]]) == sorted(table.rows["text"])


def test_shards_share_no_row_and_lose_none() -> None:
    table = language_reference()
    shards = [table.shard(rank, 3) for rank in range(3)]
    texts = [text for shard in shards for text in shard.rows["text"]]
    assert sorted(texts) == sorted(table.rows["text"])
    assert max(len(s.rows) for s in shards) - min(len(s.rows) for s in shards) <= 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.tsv", None, "there is no file"),
        ("rows.parquet", "x", "expected .jsonl, .json, .csv, .tsv, .txt; got .parquet"),
        ("empty.jsonl", "", "empty.jsonl"),
        ("broken.jsonl", '{"text": "a"}\n{"text": \n', "cannot be read as .jsonl"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidInput, match=name) as refused:
        read_table(str(path))
    assert said in refused.value.message


def test_a_folder_is_refused_with_the_files_that_it_holds(tmp_path: Path) -> None:
    _write(tmp_path / "train.tsv")
    with pytest.raises(InvalidInput, match=r"it holds train\.tsv"):
        read_table(str(tmp_path))


def test_what_is_neither_file_nor_hub_id_is_refused() -> None:
    with pytest.raises(InvalidInput, match="expected a file, or a hub id"):
        read_table("a/b/c:d:e:f")
