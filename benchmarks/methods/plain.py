"""Fine-tuning without any method, and the least that any can cost."""

from __future__ import annotations

from torch import nn

from .method import Prepared, Setting, train_only


def regular(setting: Setting) -> Prepared:
    """The layers' own weights, all of them."""
    return train_only(setting, [layer.weight for group in setting.groups for layer in group.layers])


def limit(setting: Setting) -> Prepared:
    """One bias, that of the first of the layers: forward and back, which no method can be below."""
    first = setting.groups[0].layers[0]
    bias = nn.Parameter(first.weight.new_zeros(setting.groups[0].d_out))
    first.module.bias = bias
    return train_only(setting, [bias])
