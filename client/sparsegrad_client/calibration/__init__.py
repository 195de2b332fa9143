"""Calibration: collect gradients of a model on data, and have a basis made of them."""

from __future__ import annotations

from .calibrate import calibrate

__all__ = ["calibrate"]
