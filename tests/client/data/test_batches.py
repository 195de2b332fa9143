"""Batches: padding, order, and that nothing is lost."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_client.data.batches import Batches, collate
from sparsegrad_client.data.encoding import IGNORED, Example
from sparsegrad_shared.errors import InvalidInput


def _example(tokens: list[int], label: int | list[int]) -> Example:
    return {"input_ids": tokens, "attention_mask": [1] * len(tokens), "labels": label}


def test_a_batch_is_padded_on_the_right_where_nothing_looks() -> None:
    batch = collate([_example([5, 6, 7], [IGNORED, 6, 7]), _example([8], [8])], pad_token_id=9)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 6, 7], [8, IGNORED, IGNORED]]


def test_class_labels_make_a_vector() -> None:
    batch = collate([_example([5], 2), _example([6], 0)], pad_token_id=0)
    assert batch["labels"].tolist() == [2, 0]
    assert batch["labels"].dtype == torch.int64


@given(
    count=st.integers(1, 40),
    size=st.integers(1, 9),
    seed=st.integers(0, 3),
    epoch=st.integers(0, 3),
)
def test_every_epoch_has_every_example_once(count: int, size: int, seed: int, epoch: int) -> None:
    batches = Batches(
        [_example([index], index) for index in range(count)],
        batch_size=size,
        pad_token_id=0,
        seed=seed,
    )
    labels = [label for batch in batches.epoch(epoch) for label in batch["labels"].tolist()]
    assert sorted(labels) == list(range(count))
    assert len(list(batches)) == len(batches)


def test_the_order_is_the_seeds_and_epochs() -> None:
    examples = [_example([index], index) for index in range(64)]

    def order(seed: int, epoch: int) -> list[int]:
        batches = Batches(examples, batch_size=64, pad_token_id=0, seed=seed)
        return next(batches.epoch(epoch))["labels"].tolist()

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_without_shuffling_the_order_is_the_examples_own() -> None:
    examples = [_example([index], index) for index in range(5)]
    batches = Batches(examples, batch_size=2, pad_token_id=0, shuffle=False)
    assert [batch["labels"].tolist() for batch in batches.epoch(7)] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(("examples", "size"), [([], 2), ([_example([1], 0)], 0)])
def test_batches_of_nothing_are_refused(examples: list[Example], size: int) -> None:
    with pytest.raises(InvalidInput):
        Batches(examples, batch_size=size, pad_token_id=0)
