"""Models by short name, hub id or folder.

A folder that holds a GGUF file and no `config.json` is converted to float32 once, into
``HOME/models/<digest of the file>``.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from sparsegrad_shared.digests import digest_of_file
from sparsegrad_shared.errors import InvalidInput, MissingExtra, UnsupportedModel

from . import hub
from .disk import flush
from .home import home
from .model_names import folder_id
from .presets import SHORT_NAMES

_GGUF_NEEDS = ("gguf", "accelerate")
_ALIKE = 0.75  # of 1: a short name and one that was mistyped


@dataclass(frozen=True)
class ModelPlace:
    """Where a model is loaded from.

    Attributes:
        id: what it is called in a basis's lineage; never a path of this machine.
        location: a folder or a hub id, for `from_pretrained`.
    """

    id: str
    location: str


def find_model(name: str) -> ModelPlace:
    """What `--model` means.

    Args:
        name: a short name, a hub id or a folder.

    Raises:
        InvalidInput: when it is meant as a folder and there is none, or none with a model.
        MissingExtra: when a GGUF file cannot be read without a further package.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return ModelPlace(folder_id(folder.resolve()), str(_with_config(folder)))
    if folder.is_file() or folder.is_absolute() or name.startswith(("./", "../", "~")):
        what = "a file, not a folder" if folder.is_file() else "not there"
        raise InvalidInput(f"--model {name}: expected a folder that holds a model; it is {what}")
    identifier = SHORT_NAMES.get(name, name)
    return ModelPlace(identifier, identifier)


def load_tokenizer(place: ModelPlace) -> PreTrainedTokenizerBase:
    """The model's tokenizer; one without a padding token pads with its end of text.

    Raises:
        InvalidInput: when it cannot be loaded.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(place.location)
    except (OSError, ValueError) as error:
        raise _not_loaded(place, "tokenizer", error) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise UnsupportedModel(f"the tokenizer of {place.id} has neither padding nor end of text")
    tokenizer.padding_side = "right"
    return tokenizer


def load_classifier(
    place: ModelPlace, classes: Sequence[str], pad_token_id: int, *, dtype: torch.dtype, seed: int
) -> PreTrainedModel:
    """The model with a new classification head, drawn by `seed`.

    Raises:
        InvalidInput: when it cannot be loaded.
    """
    torch.manual_seed(seed)
    names = dict(enumerate(classes))
    return _load(
        AutoModelForSequenceClassification,
        place,
        dtype=dtype,
        num_labels=len(classes),
        id2label=names,
        label2id={name: index for index, name in names.items()},
        pad_token_id=pad_token_id,
        ignore_mismatched_sizes=True,  # a head for other classes makes way for the new one
    )


def load_causal(place: ModelPlace, *, dtype: torch.dtype) -> PreTrainedModel:
    """The model as a causal language model.

    Raises:
        InvalidInput: when it cannot be loaded.
        UnsupportedModel: when it is an encoder, which needs a label column.
    """
    config = read_config(place)
    encoder = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not config.is_decoder
    if encoder or config.is_encoder_decoder:
        raise UnsupportedModel(
            f"{place.id} ({config.model_type}) is no causal language model; to train it as a "
            "classifier give --dataset and --label-column"
        )
    return _load(AutoModelForCausalLM, place, dtype=dtype)


def read_config(place: ModelPlace) -> PretrainedConfig:
    """The model's config.

    Raises:
        InvalidInput: when it cannot be loaded.
    """
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(place.location)
    except (OSError, ValueError) as error:
        raise _not_loaded(place, "model", error) from error
    return config


def _load(
    kind: type[AutoModelForCausalLM] | type[AutoModelForSequenceClassification],
    place: ModelPlace,
    **options: object,
) -> PreTrainedModel:
    """Load safetensors only: other weight files are pickles, which can run code."""
    try:
        model: PreTrainedModel = kind.from_pretrained(
            place.location, use_safetensors=True, **options
        )
    except (OSError, ValueError) as error:
        raise _not_loaded(place, "model", error) from error
    return model


def _not_loaded(place: ModelPlace, what: str, error: Exception) -> InvalidInput:
    if Path(place.location).is_dir():
        reason = " ".join(str(error).split())[:300]
        return InvalidInput(f"the {what} in folder {place.location} cannot be loaded: {reason}")
    if os.environ.get(hub.OFFLINE_VARIABLE):
        return InvalidInput(
            f"model {place.id} is not in the local cache, and {hub.endpoint()} cannot be reached; "
            "pass --model FOLDER, a folder with the model's config.json, safetensors and tokenizer"
            f"{_nearest(place.id)}"
        )
    reason = " ".join(str(error).split())[:300]
    return InvalidInput(
        f"the {what} of {place.id} cannot be loaded from {hub.endpoint()}: {reason}"
        f"{_nearest(place.id)}"
    )


def _nearest(name: str) -> str:
    """A hint at the short name that somebody may have meant."""
    near = get_close_matches(name, SHORT_NAMES, n=1, cutoff=_ALIKE)
    return f"; did you mean {near[0]}?" if near else ""


def _with_config(folder: Path) -> Path:
    """The folder itself, or the converted copy of the GGUF file in it."""
    if (folder / "config.json").is_file():
        return folder
    files = sorted(folder.glob("*.gguf"))
    if len(files) != 1:
        raise InvalidInput(
            f"--model {folder}: expected config.json, or exactly one .gguf file; "
            f"found {len(files)} .gguf files"
        )
    return _convert(files[0])


def _convert(file: Path) -> Path:
    """Convert a GGUF file to a folder of safetensors in float32, once for its content."""
    target = home() / "models" / digest_of_file(file).removeprefix("sha256:")[:32]
    if target.is_dir():
        return target
    missing = [name for name in _GGUF_NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"{file}: a GGUF file needs more to be read; run: pip install {' '.join(missing)}"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix="converting-", dir=target.parent))
    try:
        _read_gguf(file).save_pretrained(staging)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        tokenizer.save_pretrained(staging)
        _publish(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _read_gguf(file: Path) -> PreTrainedModel:
    """The model of a GGUF file as one that was never quantised, so that it can be written."""
    read = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    settings = read.config.to_dict()
    settings.pop("quantization_config", None)
    plain: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        type(read.config).from_dict(settings), dtype=torch.float32
    )
    plain.load_state_dict(read.state_dict())
    return plain


def _publish(staging: Path, target: Path) -> None:
    """Make a finished folder appear whole under its name, whoever else makes the same one."""
    for path in (*staging.iterdir(), staging):
        flush(path)
    try:
        staging.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    flush(target.parent)
