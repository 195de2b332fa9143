"""Which columns of a table are the text and the label, checked with the table at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import datasets

from sparsegrad_shared.errors import InvalidInput

from .tables import Table

MAX_CLASSES = 1000
_FEW = 20  # classes that a handful of rows may have, each its own
_WHOLE = ("int", "uint", "bool")


@dataclass(frozen=True)
class Columns:
    """The columns that a task reads.

    Attributes:
        text: for classification one column, or two for pairs of texts; for a causal language
            model one column, or several: all but the last are the prompt, the last the answer.
        label: the class; None for a causal language model.
    """

    text: tuple[str, ...]
    label: str | None

    @property
    def all(self) -> tuple[str, ...]:
        """Every column, the label last."""
        return self.text if self.label is None else (*self.text, self.label)


def choose_columns(table: Table, text: Sequence[str], label: str | None) -> Columns:
    """The columns that were asked for; the one column of text when none was.

    Raises:
        InvalidInput: when a column is not there, holds no text, or must be named.
    """
    for name in (*text, *([] if label is None else [label])):
        if name not in table.columns:
            raise InvalidInput(
                f"data set {table.id} has no column {name!r}; it has {', '.join(table.columns)}"
            )
    found = tuple(text) or _only_text_column(table, label)
    for name in found:
        if not _is_text(table, name):
            kind = table.rows.features[name]
            raise InvalidInput(f"column {name!r} of data set {table.id}: expected text, got {kind}")
    if label is not None and len(found) > 2:
        raise InvalidInput(
            f"classification reads one text or a pair; got columns {', '.join(found)}"
        )
    if len(set(found)) < len(found) or label in found:
        raise InvalidInput(f"a column is named twice: {', '.join(found)}, label {label}")
    return Columns(found, label)


def class_names(table: Table, label: str) -> tuple[str, ...]:
    """The names of the classes that stand in column `label`, in the order of their ids.

    Raises:
        InvalidInput: when the column holds other than text or whole numbers, has missing or
            negative values (a test split without labels), fewer than two classes, over
            `MAX_CLASSES`, or one for most rows (a column of texts).
    """
    feature = table.rows.features[label]
    if isinstance(feature, datasets.ClassLabel):
        _check_labelled(table, label)
        return tuple(feature.names)
    if not _is_text(table, label) and not str(getattr(feature, "dtype", "")).startswith(_WHOLE):
        raise InvalidInput(
            f"label column {label!r} of data set {table.id}: expected text or whole numbers, "
            f"got {feature}"
        )
    values = _check_labelled(table, label)
    if not 2 <= len(values) <= MAX_CLASSES:
        raise InvalidInput(
            f"label column {label!r} of data set {table.id} has {len(values)} classes; "
            f"expected 2 to {MAX_CLASSES}"
        )
    if len(values) > max(_FEW, len(table.rows) / 2):
        raise InvalidInput(
            f"label column {label!r} of data set {table.id} has {len(values)} classes in "
            f"{len(table.rows)} rows; expected one of classes that recur: "
            f"its columns are {', '.join(table.columns)}"
        )
    return tuple(str(value) for value in sorted(values))


def class_ids(table: Table, label: str, names: Sequence[str]) -> list[int]:
    """Each row's class as an index into `names`.

    Raises:
        InvalidInput: when a class is not one of `names`, or a row has none.
    """
    values = _check_labelled(table, label)
    index = {name: position for position, name in enumerate(names)}
    feature = table.rows.features[label]
    # Where the training data had numbers for classes, these are the same numbers.
    if isinstance(feature, datasets.ClassLabel) and set(names) != set(map(str, range(len(names)))):
        called = {value: feature.int2str(value) for value in values}
    else:
        called = {value: str(value) for value in values}
    unknown = set(called.values()) - set(index)
    if unknown:
        raise InvalidInput(
            f"data set {table.id} has class {min(unknown)!r}, which is not among those of "
            f"the training data: {', '.join(names)}"
        )
    return [index[called[value]] for value in table.rows[label]]


def _check_labelled(table: Table, label: str) -> set[Any]:
    """The different labels, each row having one."""
    values = set(table.rows.unique(label))
    if None in values:
        raise InvalidInput(f"label column {label!r} of data set {table.id} has missing values")
    if any(isinstance(value, int) and value < 0 for value in values):
        raise InvalidInput(
            f"label column {label!r} of data set {table.id} has negative labels: "
            "is this a test split without labels?"
        )
    return values


def _is_text(table: Table, name: str) -> bool:
    return getattr(table.rows.features[name], "dtype", None) in ("string", "large_string")


def _only_text_column(table: Table, label: str | None) -> tuple[str, ...]:
    found = tuple(name for name in table.columns if name != label and _is_text(table, name))
    if len(found) != 1:
        raise InvalidInput(
            f"data set {table.id} has {len(found)} columns of text "
            f"({', '.join(found) or 'none'}); say which with --text-columns; "
            f"all columns: {', '.join(table.columns)}"
        )
    return found
