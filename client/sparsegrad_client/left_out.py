"""What a model of transformers leaves out when it is saved whole."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from weakref import WeakKeyDictionary

from torch import nn

_ATTRIBUTE = "_keys_to_ignore_on_save"  # that of transformers' models
_LEFT_OUT: WeakKeyDictionary[nn.Module, AbstractSet[str]] = WeakKeyDictionary()


def leave_out(model: nn.Module, names: AbstractSet[str]) -> None:
    """Have a model leave these parameters out, and none of those that were named before.

    A model of another kind than transformers' is saved whole.
    """
    if not hasattr(model, _ATTRIBUTE):
        return
    others = set(getattr(model, _ATTRIBUTE) or ()) - _LEFT_OUT.pop(model, set())
    if names:
        _LEFT_OUT[model] = names
    setattr(model, _ATTRIBUTE, others | names)
