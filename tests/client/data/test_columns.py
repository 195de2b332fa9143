"""Columns are checked against the table, and errors list what there is."""

from __future__ import annotations

import datasets
import pytest

from sparsegrad_client.data.columns import Columns, choose_columns, class_ids, class_names
from sparsegrad_client.data.tables import Table
from sparsegrad_shared.errors import InvalidInput


def table(**columns: list[object]) -> Table:
    return Table("it", datasets.Dataset.from_dict(columns))


def named(names: list[str], labels: list[int | None]) -> Table:
    label = datasets.ClassLabel(names=names)
    features = datasets.Features({"text": datasets.Value("string"), "label": label})
    rows = {"text": ["x"] * len(labels), "label": labels}
    return Table("it", datasets.Dataset.from_dict(rows, features=features))


PAIRS = table(a=["x", "y"], b=["z", "w"], label=[1, 0], weight=[0.5, 1.5])


def test_the_only_column_of_text_need_not_be_named() -> None:
    assert choose_columns(table(s=["x"], n=[1]), (), "n") == Columns(("s",), "n")


@pytest.mark.parametrize(
    ("text", "label", "said"),
    [
        (("c",), None, "no column 'c'; it has a, b, label, weight"),
        (("a",), "klass", "no column 'klass'; it has a, b, label, weight"),
        ((), "label", "2 columns of text .a, b.; say which with --text-columns"),
        (("label",), None, "expected text"),
        (("a", "a"), None, "named twice"),
        (("a",), "a", "named twice"),
    ],
)
def test_columns_that_do_not_fit_are_refused(
    text: tuple[str, ...], label: str | None, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        choose_columns(PAIRS, text, label)


def test_classes_are_numbered_in_their_order() -> None:
    numbers = table(text=["p"] * 4, label=[10, 9, 10, 3])
    assert class_names(numbers, "label") == ("3", "9", "10")
    assert class_ids(numbers, "label", ("3", "9", "10")) == [2, 1, 2, 0]
    words = table(text=["p"] * 3, label=["yes", "no", "yes"])
    assert class_names(words, "label") == ("no", "yes")
    assert class_ids(words, "label", ("no", "yes")) == [1, 0, 1]


def test_named_classes_keep_their_ids_even_where_one_does_not_occur() -> None:
    made = named(["a", "b", "c"], [2, 1])
    assert class_names(made, "label") == ("a", "b", "c")
    assert class_ids(made, "label", ("a", "b", "c")) == [2, 1]


def test_classes_that_another_data_set_numbers_otherwise_are_known_by_their_names() -> None:
    made = named(["positive", "negative"], [0, 1, 1])
    assert class_ids(made, "label", ("negative", "positive")) == [1, 0, 0]


def test_classes_of_training_data_without_names_are_known_by_their_numbers() -> None:
    assert class_ids(named(["negative", "positive"], [0, 1, 1]), "label", ("0", "1")) == [0, 1, 1]


def test_a_named_class_that_training_does_not_know_is_refused() -> None:
    with pytest.raises(InvalidInput, match="class 'neutral', which is not among those"):
        class_ids(named(["no", "yes", "neutral"], [0, 2]), "label", ("no", "yes"))


@pytest.mark.parametrize(
    ("labels", "said"), [([-1, -1], "test split without labels"), ([1, None], "missing values")]
)
def test_rows_without_a_named_class_are_refused(labels: list[int | None], said: str) -> None:
    made = named(["no", "yes"], labels)
    with pytest.raises(InvalidInput, match=said):
        class_names(made, "label")
    with pytest.raises(InvalidInput, match=said):
        class_ids(made, "label", ("no", "yes"))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0.5, 1.0], "expected text or whole numbers"),
        ([-1, -1], "test split without labels"),
        ([1, 1], "1 classes"),
        ([1, None], "missing values"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels: list[object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        class_names(table(text=["x", "y"], label=labels), "label")


def test_a_column_of_texts_is_not_taken_for_classes() -> None:
    texts = [f"text {number // 2}" for number in range(100)]
    assert len(class_names(table(text=texts, label=texts), "label")) == 50
    texts[1] = "one more"
    with pytest.raises(InvalidInput, match="51 classes in 100 rows; .* columns are text, label"):
        class_names(table(text=texts, label=texts), "label")


def test_a_class_that_training_does_not_know_is_refused() -> None:
    with pytest.raises(InvalidInput, match="class '2', which is not among those"):
        class_ids(table(label=[0, 2]), "label", ("0", "1"))
