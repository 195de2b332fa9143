"""Batches of examples, in an order that a seed gives.

A batch is what a model takes: tensors of int64, `input_ids`, `attention_mask` and perhaps
`token_type_ids` (examples × tokens), padded on the right to the longest of the batch, and
`labels` (examples, or examples × tokens; of float32 where the examples' are scores).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sparsegrad_shared.errors import InvalidInput

from .encoding import IGNORED, Example


class Batches:
    """Examples in batches; may be iterated any number of times.

    Iterating gives the batches of epoch 0, the same each time; `epoch(n)` those of another, in
    another order. With `shuffle=False` every epoch is in the examples' own order.

    Args:
        examples: encoded rows.
        batch_size: examples a batch; the last may be smaller.
        pad_token_id: the token that fills `input_ids` up.
        seed: of the order.
        shuffle: whether the order is drawn.

    Raises:
        InvalidInput: when there are no examples or `batch_size` is below 1.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        batch_size: int,
        pad_token_id: int,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        if batch_size < 1:
            raise InvalidInput(f"a batch has at least one example; got batch size {batch_size}")
        if not examples:
            raise InvalidInput("there are no examples to make batches of")
        self.examples = examples
        self.batch_size = batch_size
        self.pad_token_id = pad_token_id
        self.seed = seed
        self.shuffle = shuffle

    def __len__(self) -> int:
        return math.ceil(len(self.examples) / self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return self.epoch(0)

    def epoch(self, number: int) -> Iterator[dict[str, Tensor]]:
        """The batches of epoch `number`, from 0."""
        order = list(range(len(self.examples)))
        if self.shuffle:
            random.Random(f"{self.seed}/{number}").shuffle(order)  # noqa: S311 - an order
        for begin in range(0, len(order), self.batch_size):
            drawn = [self.examples[index] for index in order[begin : begin + self.batch_size]]
            yield collate(drawn, self.pad_token_id)


def collate(examples: Sequence[Example], pad_token_id: int) -> dict[str, Tensor]:
    """One batch, padded on the right."""
    fill = {"input_ids": pad_token_id, "labels": IGNORED}
    return {
        name: _pad([example[name] for example in examples], fill.get(name, 0))
        for name in examples[0]
    }


def _pad(values: Sequence[float] | Sequence[Sequence[int]], fill: int) -> Tensor:
    rows = [value for value in values if not isinstance(value, int | float)]
    if not rows:
        return torch.tensor(values)
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])
