"""Equality to the last bit, through dictionaries and lists: what exact resumption means."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def assert_same(ours: Any, theirs: Any) -> None:
    """Hold two states to one another."""
    if isinstance(ours, Tensor):
        assert torch.equal(ours, theirs)
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert_same(ours[key], theirs[key])
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    else:
        assert ours == theirs
