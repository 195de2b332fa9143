"""The layers that train in a basis: one contract, an engine a file."""

from __future__ import annotations

from ..config import Engine
from .base import SparseGradLinear, require_sparse_layers, sparse_layers
from .folded import FoldedLinear
from .reference import ReferenceLinear

ENGINES: dict[str, type[SparseGradLinear]] = {
    cls.engine: cls for cls in (ReferenceLinear, FoldedLinear)
}


def engine_class(engine: Engine) -> type[SparseGradLinear]:
    """The layer class of an engine; ``auto`` is the fastest that is exact."""
    return FoldedLinear if engine == "auto" else ENGINES[engine]


__all__ = [
    "ENGINES",
    "FoldedLinear",
    "ReferenceLinear",
    "SparseGradLinear",
    "engine_class",
    "require_sparse_layers",
    "sparse_layers",
]
