"""A model and a data set, made ready for one another.

With a label column the model becomes a classifier of texts or pairs of texts; without one it is
a causal language model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sparsegrad_shared.calibrations import DatasetSource, ModelSource
from sparsegrad_shared.errors import InvalidInput

from ..convert import merge
from ..data.batches import Batches
from ..data.columns import Columns, choose_columns, class_names
from ..data.encoding import encode_causal, encode_classification
from ..data.tables import Table, language_reference
from ..layers import sparse_layers
from ..models import ModelPlace, load_causal, load_classifier, load_tokenizer
from .evaluation import Metric

CLASSIFICATION_LENGTH = 128  # tokens of an example unless said
CAUSAL_LENGTH = 256


@dataclass(frozen=True)
class Task:
    """A model with data that it can train on.

    Attributes:
        place: where the model came from.
        model: on its device, in evaluation mode.
        tokenizer: the model's.
        table: the rows.
        columns: what of the rows is read.
        classes: names of the classes by id; None for a causal language model.
        max_length: tokens of an example.
    """

    place: ModelPlace
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    table: Table
    columns: Columns
    classes: tuple[str, ...] | None
    max_length: int

    @property
    def metric(self) -> Metric:
        """The metric that fits when none was asked for."""
        return "loss" if self.classes is None else "accuracy"

    @property
    def dataset_source(self) -> DatasetSource:
        """The data as a basis's lineage names it."""
        return DatasetSource(id=self.table.id, fingerprint=self.table.fingerprint(self.columns.all))

    @property
    def model_source(self) -> ModelSource:
        """The model as a basis's lineage names it."""
        config = self.model.config
        return ModelSource(
            id=self.place.id,
            revision=getattr(config, "_commit_hash", None),
            architecture=type(self.model).__name__,
        )

    def restore(self) -> None:
        """Put the weights back that the model came with; its head is drawn anew, by seed 0."""
        if sparse_layers(self.model):
            merge(self.model)
        if self.classes is None:
            fresh = load_causal(self.place, dtype=self.model.dtype)
        else:
            pad = self.tokenizer.pad_token_id
            fresh = load_classifier(self.place, self.classes, pad, dtype=self.model.dtype, seed=0)
        self.model.load_state_dict(fresh.state_dict())

    def batches(
        self, table: Table, *, batch_size: int, seed: int = 0, shuffle: bool = True
    ) -> Batches:
        """Rows of a table with the same columns, as batches for the model."""
        if self.classes is None:
            examples = encode_causal(table, self.columns, self.tokenizer, self.max_length)
        else:
            examples = encode_classification(
                table, self.columns, self.classes, self.tokenizer, self.max_length
            )
        return Batches(
            examples,
            batch_size=batch_size,
            pad_token_id=self.tokenizer.pad_token_id,
            seed=seed,
            shuffle=shuffle,
        )

    def check_columns(self, table: Table) -> None:
        """Hold another table, such as the evaluation data, to the task's columns.

        Raises:
            InvalidInput: when a column is not there or holds something else.
        """
        choose_columns(table, self.columns.text, self.columns.label)


def prepare(
    place: ModelPlace,
    table: Table | None,
    *,
    text_columns: Sequence[str] = (),
    label_column: str | None = None,
    max_length: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    seed: int = 0,
) -> Task:
    """Load a model for the task that the columns make.

    Args:
        place: the model.
        table: the data; Python's language reference when None, for a causal language model.
        text_columns: columns of text; the only one there is when empty.
        label_column: the class; makes the model a classifier.
        max_length: tokens of an example.
        dtype: of the weights.
        device: where the model goes; a GPU when there is one, unless said.
        seed: of a new classification head.

    Raises:
        InvalidInput: when the columns do not fit the data, or the model cannot be loaded.
    """
    if table is None:
        if label_column is not None:
            raise InvalidInput("--label-column names a column of a data set: give --dataset too")
        table = language_reference()
    columns = choose_columns(table, text_columns, label_column)
    classes = None if label_column is None else class_names(table, label_column)
    tokenizer = load_tokenizer(place)
    if classes is None:
        model = load_causal(place, dtype=dtype)
        model.config.use_cache = False
    else:
        model = load_classifier(place, classes, tokenizer.pad_token_id, dtype=dtype, seed=seed)
    default_length = CAUSAL_LENGTH if classes is None else CLASSIFICATION_LENGTH
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    nn.Module.to(model, where)
    return Task(
        place,
        model,
        tokenizer,
        table,
        columns,
        classes,
        max_length or default_length,
    )


def default_basis_name(place: ModelPlace, table: Table) -> str:
    """The name of a basis when none was given: ``local/<model>-<data set>``."""
    parts = (place.id.rpartition("/")[2], table.id.rpartition("/")[2])
    return f"local/{'-'.join(map(_slug, parts))}"


def _slug(text: str) -> str:
    """Text as part of a name: letters, digits, dots, dashes, underscores; at most 45."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("._-")[:45] or "unnamed"
