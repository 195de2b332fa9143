"""Small models in folders, and data to train them on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from sparsegrad_client.data.tables import Table
from sparsegrad_client.models import ModelPlace
from sparsegrad_client.quickstart.run import minilm
from sparsegrad_client.training.tasks import Task, prepare

MakeTask = Callable[[int], Task]


@pytest.fixture(scope="session")
def make_task(tmp_path_factory: pytest.TempPathFactory) -> MakeTask:
    """A task on a BERT of two small blocks, whose weights a seed draws; made anew each time."""
    folder = tmp_path_factory.mktemp("small-models")
    tokenizer = AutoTokenizer.from_pretrained(minilm().location)
    rows = [
        (f"{adverb} {adjective} film.", verdict)
        for adverb in ("A very", "A rather", "Quite a", "No", "One more", "That")
        for adjective, verdict in (
            ("fine", "good"), ("dull", "bad"), ("great", "good"), ("poor", "bad"), ("warm", "good"),
            ("cold", "bad"), ("bright", "good"), ("slow", "bad"), ("rich", "good"), ("sad", "bad"),
        )
    ]  # fmt: skip
    texts, verdicts = zip(*rows, strict=True)
    data = datasets.Dataset.from_dict({"text": list(texts), "verdict": list(verdicts)})

    def place(seed: int) -> Path:
        path = folder / f"seed-{seed}"
        if not path.exists():
            torch.manual_seed(seed)
            config = BertConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=64,
                initializer_range=0.2,
            )
            BertModel(config).save_pretrained(path)
            tokenizer.save_pretrained(path)
        return path

    def make(seed: int) -> Task:
        return prepare(
            ModelPlace("tests/small-bert", str(place(seed))),
            Table("films", data),
            label_column="verdict",
            max_length=16,
            device="cpu",
        )

    return make
