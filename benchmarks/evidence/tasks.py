"""Tasks: data, model and metric.

GLUE's sets are read from ``../shared/data/glue`` beside the checkout, or else from the hub. The
development set judges; the learning rate is chosen on rows of the training set that nothing is
trained on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

import torch
from machine import ROOT, device, minilm, smollm2
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from sparsegrad_client.data.batches import Batches, collate
from sparsegrad_client.data.columns import Columns
from sparsegrad_client.data.encoding import Example, encode_causal, encode_classification
from sparsegrad_client.data.tables import Table, read_table
from sparsegrad_client.groups import LayerSpec, Share, auto_spec
from sparsegrad_client.models import (
    ModelPlace,
    find_model,
    load_causal,
    load_classifier,
    load_tokenizer,
)

Metric = Literal["accuracy", "matthews", "pearson", "loss"]
GLUE = ("CoLA", "RTE", "SST-2")  # those that comparisons are made on
HUB = "nyu-mll/glue"
LIKE_LENGTH = 16  # batches among which examples are sorted by length, so that little is padding
HELD_OUT = 1000  # rows of the training set that choose the learning rate, at most a fifth of it


@dataclass(frozen=True)
class Task:
    """What is learned, and how long.

    Attributes:
        name: what tables call it.
        model: a folder, a hub id or a short name.
        columns: of text, and of the label; no label makes it a causal language model's task.
        metric: judges on the development set; the higher the better, but for a loss.
        classes: the labels; none for a regression (`pearson`) or a causal language model.
        rows: training rows, drawn once; all when None.
        judged: development rows; all when None.
        epochs: passes over the training rows.
        batch: examples a step.
        max_tokens: of an example.
        development: the development set's name on the hub.
        blocks: which blocks of the model are fine-tuned; the preset's when None.
    """

    name: str
    model: str
    columns: Columns
    metric: Metric
    classes: tuple[str, ...] = ()
    rows: int | None = None
    judged: int | None = None
    epochs: int = 3
    batch: int = 32
    max_tokens: int = 128
    development: str = "validation"
    blocks: str | None = None

    @property
    def causal(self) -> bool:
        """Whether the model continues texts."""
        return self.columns.label is None

    def spec(self, model: nn.Module, share: Share) -> LayerSpec:
        """The layers that are fine-tuned."""
        return auto_spec(model, blocks=self.blocks, share=share)

    @cached_property
    def place(self) -> ModelPlace:
        """Where the model is."""
        return find_model(self.model)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's tokenizer."""
        return load_tokenizer(self.place)

    def fresh_model(self, seed: int) -> nn.Module:
        """The pre-trained model, with a head drawn by the seed."""
        if self.causal:
            model = load_causal(self.place, dtype=torch.float32)
            model.config.use_cache = False
        else:
            names = self.classes or ("score",)  # one output is a regression
            pad = self.tokenizer.pad_token_id
            model = load_classifier(self.place, names, pad, dtype=torch.float32, seed=seed)
        return nn.Module.to(model, device())

    @cache  # noqa: B019 - a process has few tasks, and they live as long as it does
    def load(self) -> Data:
        """Read and encode the task's data, once."""
        train, development = (self._table(part) for part in ("train", "dev"))
        held_out = min(self.judged or HELD_OUT, HELD_OUT, len(train.rows) // 5)
        wanted = None if self.rows is None else self.rows + held_out
        drawn = train.sample(wanted if wanted is not None else len(train.rows), 0)
        examples = self._encode(drawn)
        judged = self._encode(development.sample(self.judged, 0))
        pad: int = self.tokenizer.pad_token_id
        return Data(examples[held_out:], examples[:held_out], judged, self.batch, pad)

    def _table(self, part: str) -> Table:
        kind, suffix = ("instruct", "jsonl") if self.causal else (f"glue/{self.name}", "tsv")
        path = ROOT.parent / "shared" / "data" / Path(kind) / f"{part}.{suffix}"
        if path.is_file():
            return read_table(str(path))
        if self.causal:
            raise SystemExit(f"no data set: there is no file {path}")
        split = "train" if part == "train" else self.development
        return read_table(f"{HUB}:{self.name.lower().replace('-', '')}:{split}")

    def _encode(self, table: Table) -> Sequence[Example]:
        if self.causal:
            return encode_causal(table, self.columns, self.tokenizer, self.max_tokens)
        if self.classes:
            return encode_classification(
                table, self.columns, self.classes, self.tokenizer, self.max_tokens
            )
        return self._encode_scores(table)

    def _encode_scores(self, table: Table) -> list[Example]:
        assert self.columns.label is not None  # or it would be causal
        texts = [list(table.rows[name]) for name in self.columns.text]
        encoded = self.tokenizer(*texts, truncation=True, max_length=self.max_tokens)
        scores = table.rows[self.columns.label]
        return [
            {**{name: encoded[name][row] for name in encoded}, "labels": float(score)}
            for row, score in enumerate(scores)
        ]


@dataclass(frozen=True)
class Data:
    """A task's examples.

    Attributes:
        train: what is trained on.
        held_out: rows of the training set that choose the learning rate.
        development: the rows that judge.
        batch: examples a step.
        pad_token_id: fills batches up.
    """

    train: Sequence[Example]
    held_out: Sequence[Example]
    development: Sequence[Example]
    batch: int
    pad_token_id: int

    def training(self, seed: int) -> Batches:
        """The training examples in an order that the seed gives: the same for every method."""
        return BatchesOfLikeLength(
            self.train, batch_size=self.batch, pad_token_id=self.pad_token_id, seed=seed
        )

    def judged(self, examples: Sequence[Example]) -> Batches:
        """Examples to judge on, the short ones first."""
        ordered = sorted(examples, key=lambda example: len(example["input_ids"]))
        return Batches(
            ordered,
            batch_size=2 * self.batch,
            pad_token_id=self.pad_token_id,
            shuffle=False,
        )


class BatchesOfLikeLength(Batches):
    """Batches whose examples are nearly as long as one another, so that little is padding."""

    def epoch(self, number: int) -> Iterator[dict[str, Tensor]]:
        """The batches of epoch `number`, from 0."""
        draw = random.Random(f"{self.seed}/{number}")
        order = list(range(len(self.examples)))
        draw.shuffle(order)
        chunks = []
        for begin in range(0, len(order), self.batch_size * LIKE_LENGTH):
            part = sorted(order[begin : begin + self.batch_size * LIKE_LENGTH], key=self._length)
            chunks += [
                part[at : at + self.batch_size] for at in range(0, len(part), self.batch_size)
            ]
        draw.shuffle(chunks)
        for chunk in chunks:
            yield collate([self.examples[index] for index in chunk], self.pad_token_id)

    def _length(self, index: int) -> int:
        return len(self.examples[index]["input_ids"])


def _glue(name: str, texts: tuple[str, ...], metric: Metric, classes: int, **more: object) -> Task:
    labels = tuple(map(str, range(classes)))
    columns = Columns(text=texts, label="label")
    return replace(Task(name, "", columns, metric, labels), **more)  # type: ignore[arg-type]


# Sizes fit two cores: a run is some minutes. `--full` takes every row, for a GPU. CoLA is whole:
# from 3,200 of its sentences this model learns next to nothing.
TASKS = {
    task.name: task
    for task in (
        _glue("CoLA", ("sentence",), "matthews", 2, max_tokens=64),
        _glue("RTE", ("sentence1", "sentence2"), "accuracy", 2, rows=1200, max_tokens=128),
        _glue("SST-2", ("sentence",), "accuracy", 2, rows=1600, max_tokens=64),
        _glue("MRPC", ("sentence1", "sentence2"), "accuracy", 2, rows=3200),
        _glue("QNLI", ("question", "sentence"), "accuracy", 2, rows=3200),
        _glue("QQP", ("question1", "question2"), "accuracy", 2, rows=3200),
        _glue("STS-B", ("sentence1", "sentence2"), "pearson", 0, rows=3200),
        _glue(
            *("MNLI", ("premise", "hypothesis"), "accuracy", 3),
            rows=3200,
            development="validation_matched",
        ),
        Task(
            "instruct",
            "",
            Columns(text=("instruction", "input", "output"), label=None),
            "loss",
            rows=240,
            judged=64,
            epochs=1,
            batch=4,
            max_tokens=128,
            blocks="::3",
        ),
    )
}


def task(name: str, model: str | None = None, *, full: bool = False) -> Task:
    """A task of this suite, on its own model or another one."""
    found = TASKS[name]
    place = model or str(smollm2() if found.causal else minilm())
    sizes = {"rows": None, "judged": None} if full else {}
    return replace(found, model=place, **sizes)  # type: ignore[arg-type]
