"""What of a model trains beside its sparse layers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Literal

from torch import nn

from sparsegrad_shared.errors import InvalidInput


def trainable_names(
    model: nn.Module, trainable: Literal["auto"] | tuple[str, ...], without: Collection[nn.Module]
) -> set[str]:
    """Names of the parameters that train, by `SparseGradConfig.trainable`.

    Args:
        model: the model before its layers are replaced.
        trainable: ``auto`` or regular expressions, as in the config.
        without: the layers that are to be replaced, whose parameters are not asked about.

    Raises:
        InvalidInput: when an expression matches no parameter.
    """
    excluded = {id(parameter) for layer in without for parameter in layer.parameters()}
    names = [name for name, parameter in model.named_parameters() if id(parameter) not in excluded]
    if trainable == "auto":
        return set(names) & set(head_names(model))
    return {name for pattern in trainable for name in _matching(pattern, names)}


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    found = [name for name in names if re.search(pattern, name)]
    if not found:
        raise InvalidInput(
            f"trainable: {pattern!r} matches no parameter outside the sparse layers; "
            "see model.named_parameters() for the names"
        )
    return found


def head_names(model: nn.Module) -> list[str]:
    """Parameters of the task head that a transformers model puts on top of its backbone.

    The backbone is `model.base_model`; the head is every parameter outside of it. A language
    model's output layer is pre-trained, tied or not, so such a model has no new head; nor has a
    model that is all backbone, or that is not built this way.
    """
    backbone = getattr(model, "base_model", None)
    if not isinstance(backbone, nn.Module) or backbone is model or _is_language_model(model):
        return []
    inside = {id(parameter) for parameter in backbone.parameters()}
    return [name for name, parameter in model.named_parameters() if id(parameter) not in inside]


def _is_language_model(model: nn.Module) -> bool:
    get_output = getattr(model, "get_output_embeddings", None)
    return get_output is not None and get_output() is not None
