"""What a calibration gave, together."""

from __future__ import annotations

from dataclasses import dataclass

from sparsegrad_client import Basis
from sparsegrad_shared.bases import BasisVersion
from sparsegrad_shared.report import BasisReport


@dataclass(frozen=True)
class Calibrated:
    """A basis, the version that was published, and its report."""

    basis: Basis
    version: BasisVersion
    report: BasisReport
