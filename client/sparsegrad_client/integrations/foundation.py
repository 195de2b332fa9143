"""What a checkpoint of a sparse model stands on: the parts that training leaves as they were.

Such parts need not be written at every checkpoint, but whoever goes on from one must have the
same: the basis, the engine, and the frozen weights.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from sparsegrad_shared.errors import InvalidInput, WrongBasis

from ..layers import AdapterLinear, SparseGradLinear, require_sparse_layers
from ..sharding import whole

# An integer type of each width, to add up the bits of numbers of any type without rounding.
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_MEANING = {"basis": "basis", "engine": "engine", "frozen": "digest of frozen weights"}


@dataclass(frozen=True)
class Foundation:
    """What training on a model starts from and does not change.

    Args:
        basis: the digest of the basis.
        engine: the engine of the sparse layers; several are joined by ``+``.
        frozen: a digest of the frozen weights, see `frozen_digest`.
    """

    basis: str
    engine: str
    frozen: str

    @classmethod
    def of(cls, model: nn.Module) -> Foundation:
        """The foundation of a sparse model.

        Raises:
            InvalidInput: when the model has no sparse layers.
        """
        layers = require_sparse_layers(model).values()
        (basis,) = {layer.basis.digest for layer in layers}
        engine = "+".join(sorted({layer.engine for layer in layers}))
        return cls(basis, engine, frozen_digest(model))

    def check_against(self, saved: Foundation) -> None:
        """Refuse to go on from a checkpoint that stands on something else.

        Raises:
            WrongBasis: when the checkpoint was trained on another basis.
            InvalidInput: when its engine or its frozen weights are others.
        """
        if self == saved:
            return
        part = next(
            field.name
            for field in fields(self)
            if getattr(self, field.name) != getattr(saved, field.name)
        )
        raise (WrongBasis if part == "basis" else InvalidInput)(
            f"the checkpoint does not fit the model: its {_MEANING[part]} is "
            f"{getattr(saved, part)}, the model's is {getattr(self, part)}. Build the model as it "
            "was when training began: the same pre-trained weights, basis and config"
        )


def frozen_names(model: nn.Module) -> set[str]:
    """Names, in the state dict, of the parameters that training has left as they were.

    A sparse layer's own parameters are not among them: its weight may change although it has no
    gradient. Nor is an adapter's base, once a block moved and what it learned was folded in.
    """
    changing = {
        id(parameter)
        for layer in require_sparse_layers(model).values()
        for parameter in layer.parameters(recurse=_has_moved(layer))
    }
    return {
        name
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if not parameter.requires_grad and id(parameter) not in changing
    }


def _has_moved(layer: SparseGradLinear) -> bool:
    return isinstance(layer, AdapterLinear) and len(layer.settled) > 0


def frozen_digest(model: nn.Module) -> str:
    """A digest of the frozen parameters: their names, types, shapes, and the sums of their bits.

    It tells other weights, another random start among them, from the same ones. It reads them
    once, where they are, and does not depend on the device or the number of threads; nor on the
    ranks that hold a part each, which all have to ask at once.
    """
    names = frozen_names(model)
    described = [
        (
            name,
            str(parameter.dtype),
            list(parameter.shape),
            _sums_of_bits(whole(parameter.detach())),
        )
        for name, parameter in sorted(model.named_parameters(remove_duplicate=False))
        if name in names
    ]
    return f"sha256:{hashlib.sha256(json.dumps(described).encode()).hexdigest()}"


def _sums_of_bits(tensor: Tensor) -> list[int]:
    """One sum for a plain tensor; one for each tensor inside a quantised one."""
    inner = getattr(tensor, "__tensor_flatten__", None)
    if inner is not None:
        names, _ = inner()
        return [total for name in names for total in _sums_of_bits(getattr(tensor, name))]
    return [int(tensor.contiguous().view(_BITS[tensor.element_size()]).sum(dtype=torch.int64))]
