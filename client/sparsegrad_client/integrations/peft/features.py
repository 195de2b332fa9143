"""Which modules are linear layers, whatever class they have."""

from __future__ import annotations

from torch import nn
from transformers.pytorch_utils import Conv1D

from sparsegrad_shared.errors import UnsupportedModel


def features(module: nn.Module, name: str) -> tuple[int, int]:
    """Inputs and outputs of a linear layer.

    Anything with `in_features` and `out_features` is taken for one: quantised layers have them.

    Raises:
        UnsupportedModel: when the module is no linear layer.
    """
    if isinstance(module, Conv1D):
        d_in, d_out = module.weight.shape
        return d_in, d_out
    sizes = getattr(module, "in_features", None), getattr(module, "out_features", None)
    if not isinstance(sizes[0], int) or not isinstance(sizes[1], int):
        raise UnsupportedModel(
            f"layer {name!r} is a {type(module).__name__}; expected a linear layer, "
            "with in_features and out_features, or a Conv1D of transformers"
        )
    return sizes[0], sizes[1]
