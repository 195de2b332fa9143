"""Fine-tune by updating only what matters: the training client of SparseGrad.

Names are imported when they are first used, so that the command line answers ``--help`` without
loading PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .adapters import Adapter, load_adapter, read_adapter, save_adapter
    from .bases import fetch_basis
    from .basis import Basis
    from .calibration import calibrate
    from .config import SparseGradConfig
    from .convert import merge, sparsify
    from .fit import BasisFit, BasisMisfit
    from .groups import LayerSpec
    from .layers import SparseGradLinear
    from .optim import MaskedAdam, build_optimizer
    from .recalibration import recalibrate
    from .service import AsyncBasisService, BasisService

_MODULES = {
    "Adapter": "adapters",
    "AsyncBasisService": "service",
    "Basis": "basis",
    "BasisFit": "fit",
    "BasisMisfit": "fit",
    "BasisService": "service",
    "LayerSpec": "groups",
    "MaskedAdam": "optim",
    "SparseGradConfig": "config",
    "SparseGradLinear": "layers",
    "build_optimizer": "optim",
    "calibrate": "calibration",
    "fetch_basis": "bases",
    "load_adapter": "adapters",
    "merge": "convert",
    "read_adapter": "adapters",
    "recalibrate": "recalibration",
    "save_adapter": "adapters",
    "sparsify": "convert",
}

__all__ = [
    "Adapter",
    "AsyncBasisService",
    "Basis",
    "BasisFit",
    "BasisMisfit",
    "BasisService",
    "LayerSpec",
    "MaskedAdam",
    "SparseGradConfig",
    "SparseGradLinear",
    "build_optimizer",
    "calibrate",
    "fetch_basis",
    "load_adapter",
    "merge",
    "read_adapter",
    "recalibrate",
    "save_adapter",
    "sparsify",
]


def __getattr__(name: str) -> object:
    """Import a public name from the module that defines it (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
