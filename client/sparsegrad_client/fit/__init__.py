"""How well a basis fits the gradients that are trained in it."""

from __future__ import annotations

from .basis_fit import BasisFit
from .energy import Energy
from .judgement import BasisMisfit, Misfit

__all__ = ["BasisFit", "BasisMisfit", "Energy", "Misfit"]
