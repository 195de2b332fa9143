"""The layers that train in a basis: one contract, an engine a file."""

from __future__ import annotations

from .adapter import AdapterLinear
from .base import SparseGradLinear, require_sparse_layers, sparse_layers
from .choice import Choice, choose, choose_feedback, room_for
from .folded import FoldedLinear
from .reference import ReferenceLinear

ENGINES: dict[str, type[SparseGradLinear]] = {
    cls.engine: cls for cls in (ReferenceLinear, FoldedLinear, AdapterLinear)
}

__all__ = [
    "ENGINES",
    "AdapterLinear",
    "Choice",
    "FoldedLinear",
    "ReferenceLinear",
    "SparseGradLinear",
    "choose",
    "choose_feedback",
    "require_sparse_layers",
    "room_for",
    "sparse_layers",
]
