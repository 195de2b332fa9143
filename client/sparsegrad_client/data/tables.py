"""Tables of rows: a local file, a data set of the hub, or Python's own language reference."""

from __future__ import annotations

import csv
import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from sparsegrad_shared.errors import InvalidInput

# How `datasets` reads each kind of file. Tab-separated files carry bare quotes, and "NA" and
# "null" are words of a language as any others.
_FORMATS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    ".csv": ("csv", {"keep_default_na": False}),
    ".tsv": (
        "csv",
        {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "keep_default_na": False},
    ),
    ".txt": ("text", {"sample_by": "paragraph"}),
}
_HUB_ID = re.compile(r"(?P<id>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[\w.-]+))??(?::(?P<split>\w+))?")
_MIN_PARAGRAPH = 200  # characters; shorter ones are mostly headings and lists of names
_COMMON_STEMS = {"train", "dev", "test", "validation", "data"}


@dataclass(frozen=True)
class Table:
    """Rows of named columns.

    Attributes:
        id: what the data set is called in a basis's lineage; never a path of this machine.
        rows: the rows.
    """

    id: str
    rows: datasets.Dataset

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.rows.column_names)

    def sample(self, count: int | None, seed: int) -> Table:
        """`count` rows drawn by `seed`, in the drawn order; all in their order when None.

        The rows of a smaller count are the first of a larger one's.
        """
        if count is None:
            return self
        order = list(range(len(self.rows)))
        random.Random(seed).shuffle(order)  # noqa: S311 - a sample, not a secret
        return Table(self.id, self.rows.select(order[:count]))

    def shard(self, rank: int, count: int) -> Table:
        """Every `count`-th row, from row `rank` on: the rows of one of `count` processes."""
        return Table(self.id, self.rows.select(range(rank, len(self.rows), count)))

    def split(self, held_out: int, seed: int) -> tuple[Table, Table]:
        """The table without `held_out` rows drawn by `seed`, and those rows."""
        order = list(range(len(self.rows)))
        random.Random(seed).shuffle(order)  # noqa: S311 - a sample, not a secret
        kept, held = order[held_out:], order[:held_out]
        return Table(self.id, self.rows.select(sorted(kept))), Table(
            self.id, self.rows.select(sorted(held))
        )

    def fingerprint(self, columns: Sequence[str]) -> str:
        """The digest ``sha256:<hex>`` of what stands in those columns, row by row."""
        hasher = hashlib.sha256()
        for row in self.rows.select_columns(list(columns)):
            line = json.dumps([row[name] for name in columns], ensure_ascii=True, default=str)
            hasher.update(line.encode() + b"\n")
        return f"sha256:{hasher.hexdigest()}"


def read_table(source: str) -> Table:
    """Read a data set.

    Args:
        source: a .jsonl, .json, .csv, .tsv or .txt file (a txt's rows are its paragraphs, in the
            column `text`), or a data set of the hub: ``id``, ``id:split`` or ``id:config:split``;
            the split is `train` unless said.

    Raises:
        InvalidInput: when it is neither, cannot be read or reached, or has no rows.
    """
    datasets.disable_progress_bars()
    path = Path(source).expanduser()
    if path.is_dir():
        raise InvalidInput(
            f"--dataset takes a file, and {source} is a folder; it holds {_in(path)}"
        )
    if path.is_file():
        table = _read_file(path)
    elif path.suffix in _FORMATS or path.is_absolute() or source.startswith(("./", "../", "~")):
        raise InvalidInput(f"no data set: there is no file {source}")
    else:
        table = _read_hub(source)
    if not len(table.rows):
        raise InvalidInput(f"data set {source} has no rows")
    return table


def language_reference() -> Table:
    """Python's language reference, a paragraph a row in the column `text`.

    It is installed with every Python, so that a causal language model can be calibrated with no
    data set at hand.
    """
    from pydoc_data import topics

    pages = topics.topics.values()
    paragraphs = {part.strip() for page in pages for part in re.split(r"\n\s*\n", page)}
    text = sorted(part for part in paragraphs if len(part) >= _MIN_PARAGRAPH)
    return Table("python-reference", datasets.Dataset.from_dict({"text": text}))


def _read_file(path: Path) -> Table:
    if path.suffix not in _FORMATS:
        raise InvalidInput(
            f"data set {path}: expected {', '.join(_FORMATS)}; got {path.suffix or 'no suffix'}"
        )
    if not path.stat().st_size:
        raise InvalidInput(f"data set {path} has no rows: the file is empty")
    reader, options = _FORMATS[path.suffix]
    try:
        rows = datasets.load_dataset(reader, data_files=str(path), split="train", **options)
    except (datasets.exceptions.DatasetGenerationError, ValueError, StopIteration) as error:
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())[:300]
        raise InvalidInput(f"data set {path}: cannot be read as {path.suffix}: {reason}") from error
    common = path.stem.lower() in _COMMON_STEMS and path.resolve().parent.name
    return Table(path.resolve().parent.name if common else path.stem, rows)


def _read_hub(source: str) -> Table:
    match = _HUB_ID.fullmatch(source)
    if match is None:
        raise InvalidInput(
            f"data set {source!r}: expected a file, or a hub id as id, id:split or id:config:split"
        )
    name, config, split = match["id"], match["config"], match["split"] or "train"
    try:
        rows = datasets.load_dataset(name, config, split=split)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InvalidInput(
            f"data set {source!r} is no local file, and the hub did not give it "
            f"({type(error).__name__}: {reason}); pass a local jsonl, csv, tsv or txt file instead"
        ) from error
    return Table(name, rows)


def _in(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir() if entry.suffix in _FORMATS)
    return ", ".join(names[:10]) or f"none of {', '.join(_FORMATS)}"
