"""How a basis meets a model: what is said where it does not fit, and how much of it trains."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from sparsegrad_shared.errors import ShapeMismatch, UnsupportedModel

from .basis import Basis, GroupBasis
from .config import SparseGradConfig
from .support import best_block


def missing_layer(basis: Basis, layer: str, linear: Iterable[str]) -> UnsupportedModel:
    """The error for a layer that the model lacks; it names the nearest that it has.

    Args:
        basis: a basis that names the layer.
        layer: the layer.
        linear: names of the model's linear layers.
    """
    nearest = difflib.get_close_matches(layer, list(linear), n=3, cutoff=0.0)
    hint = (
        f"the nearest linear layers are {', '.join(nearest)}"
        if nearest
        else "it has no linear layer"
    )
    return UnsupportedModel(
        f"basis {basis} is for a layer {layer!r}, which the model does not have; {hint}. "
        f"{_origin(basis)}"
    )


def check_shape(basis: Basis, layer: str, shape: tuple[int, int]) -> None:
    """Hold a layer's d_out × d_in to those of its group in the basis.

    Raises:
        ShapeMismatch: when they are others.
    """
    group = basis.group_of(layer)
    if shape != (group.d_out, group.d_in):
        d_out, d_in = shape
        raise ShapeMismatch(
            f"basis group {group.name!r} is {group.d_out} x {group.d_in}, layer {layer!r} is "
            f"{d_out} x {d_in}. {_origin(basis)}"
        )


def block_shape(group: GroupBasis, config: SparseGradConfig) -> tuple[int, int]:
    """Rows and columns of the block that trains in each layer of a group.

    Args:
        group: the basis; its eigenvalues shape the block where the config does not.
        config: says the block, or how many entries it has at most.
    """
    if config.block is not None:
        return config.block
    entries = config.entries_of(group.d_out * group.d_in)
    return best_block(entries, group.eigenvalues_out, group.eigenvalues_in)


def _origin(basis: Basis) -> str:
    return f"This basis was calibrated on {basis.model or 'a model that it does not name'}"
