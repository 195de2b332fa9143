"""A merged model on disk: the plain model with an adapter's changes in its weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ..basis import Basis
from ..convert import merge
from ..folders import new_folder
from ..models import ModelPlace, load_causal, load_classifier, load_tokenizer, read_config
from ..trainable import head_names
from .adapter import Adapter
from .models import load_adapter
from .progress import Progress, ignore


def write_merged(
    adapter: Adapter,
    place: ModelPlace,
    basis: Basis,
    output: Path,
    *,
    dtype: torch.dtype = torch.float32,
    names_from: Path | None = None,
    progress: Progress = ignore,
) -> None:
    """Write a plain model, with its tokenizer, that needs no SparseGrad.

    The change is added in float32, whatever type is written.

    Args:
        adapter: the adapter.
        place: the model that training began with.
        basis: the basis that the adapter was trained on.
        output: a new folder; it appears whole or not at all.
        dtype: of the weights that are written.
        names_from: a folder whose config, if there is one, names the classes of a classifier:
            the one that `train` wrote.
        progress: told how many of its steps are done.

    Raises:
        InvalidInput: when the model cannot be loaded, or the folder holds something.
        WrongBasis: when the adapter was trained on another basis.
        SparseGradError: when adapter and model do not fit; see `load_adapter`.
    """
    progress(0, 3)
    tokenizer = load_tokenizer(place)
    classes = _classes(adapter, read_config(place), names_from)
    model = _load(place, classes, tokenizer)
    progress(1, 3)
    merge(load_adapter(model, adapter, basis))
    model.to(dtype)  # type: ignore[arg-type]  # transformers types it as the bare function
    progress(2, 3)
    with new_folder(output) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    progress(3, 3)


def _load(
    place: ModelPlace, classes: list[str] | None, tokenizer: PreTrainedTokenizerBase
) -> PreTrainedModel:
    if classes is None:
        return load_causal(place, dtype=torch.float32)
    return load_classifier(place, classes, tokenizer.pad_token_id, dtype=torch.float32, seed=0)


def _classes(
    adapter: Adapter, config: PretrainedConfig, names_from: Path | None
) -> list[str] | None:
    """Names of a classifier's classes; None for a causal language model.

    An adapter that trained a classification head has its last matrix, one row a class. Their
    names are those of the first config that has as many: training's, the model's own.
    """
    head = [value for name, value in adapter.parameters.items() if name in _head(config)]
    if not head:
        return _names(config) if _is_classifier(config) else None
    count = [value.shape[0] for value in head if value.ndim == 2][-1]
    for candidate in (_config_in(names_from), config):
        if candidate is not None and candidate.num_labels == count:
            return _names(candidate)
    return [f"LABEL_{number}" for number in range(count)]


def _head(config: PretrainedConfig) -> set[str]:
    """Names of the head's parameters, were the model a classifier."""
    try:
        with torch.device("meta"):
            model: nn.Module = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    except ValueError:  # no classifier of this architecture
        return set()
    return set(head_names(model))


def _is_classifier(config: PretrainedConfig) -> bool:
    return any(name.endswith("ForSequenceClassification") for name in config.architectures or ())


def _names(config: PretrainedConfig) -> list[str]:
    return [name for _, name in sorted((config.id2label or {}).items())]


def _config_in(folder: Path | None) -> PretrainedConfig | None:
    if folder is None or not (folder / "config.json").is_file():
        return None
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError):  # something else's config
        return None
    return config
