"""What every engine has in common: `SparseGradLinear`.

Layout (that of `sparsegrad_client.basis`, and)::

    x            … × d_in        input, any number of leading dimensions
    y            … × d_out       output, x Wᵀ + b
    W            d_out × d_in    weight in the original space
    coordinates  r_out × r_in    W̃ = Vᵀ W U, whose gradient is G̃ = Vᵀ G U
    delta        r_out · r_in    every change of W̃ since the layer was made, sparse, row-major

The bias stays in the original space. U and V belong to the group; no layer holds them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sparsegrad_shared.errors import InvalidInput

from ..basis import Basis
from ..config import SparseGradConfig
from ..sparse_vector import SparseVector
from .plain import PlainLayer, check_dtype


class SparseGradLinear(nn.Module, ABC):
    """A linear layer that trains in its group's basis, a few entries at a time.

    It is the same function as the plain layer that it replaces, and so are the gradients of its
    input and bias. `coordinates.grad` is the gradient in the basis; `MaskedAdam` turns it into
    sparse steps and gives them to `add_entries_`.

    Args:
        plain: the layer to replace; its parameters are taken over, not copied.
        name: the layer's path in the model, for errors and adapters.
        basis: the basis that has the layer.
        config: how to train it.
    """

    engine: ClassVar[str]
    coordinates: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self, plain: PlainLayer, name: str, basis: Basis, config: SparseGradConfig
    ) -> None:
        super().__init__()
        self.name = name
        self.basis = basis
        self.config = config
        self.group = basis.group_of(name)
        self.layout = plain.layout
        self.out_features, self.in_features = plain.matrix.shape
        self.entries = config.entries_of(self.size)
        self.delta = SparseVector(self.size, like=plain.weight)
        self.register_parameter("bias", plain.bias)
        if plain.bias is not None:
            plain.bias.requires_grad_(config.train_bias)
        self.train(plain.training)

    @property
    def shape(self) -> tuple[int, int]:
        """(r_out, r_in), the shape of the coordinates."""
        return self.group.r_out, self.group.r_in

    @property
    def size(self) -> int:
        """How many coordinates there are: r_out · r_in."""
        return self.group.r_out * self.group.r_in

    @abstractmethod
    def dense_weight(self) -> Float[Tensor, "d_out d_in"]:
        """The weight in the original space as it stands; do not change it."""

    @abstractmethod
    def _add_to_weight_(self, indices: Int64[Tensor, " k"], values: Float[Tensor, " k"]) -> None:
        """Add `values` to the coordinates at `indices`, however the engine holds them."""

    @torch.no_grad()
    def add_entries_(self, indices: Int64[Tensor, " k"], values: Float[Tensor, " k"]) -> None:
        """Add to single coordinates: what an optimizer step does.

        Args:
            indices: flat positions in the r_out × r_in coordinates, rising, unique.
            values: what to add there.

        Raises:
            UnsupportedModel: when the weight was converted to half precision meanwhile.
        """
        check_dtype(self.delta.values, self.name)
        self._add_to_weight_(indices, values.to(self.delta.values.dtype))
        self.delta.add_(indices, values)

    def merged(self) -> nn.Module:
        """The plain layer with the trained weight, of the class that was replaced."""
        layer = self.layout.build(self._plain_weight(), self.bias)
        return layer.train(self.training)

    def _plain_weight(self) -> nn.Parameter:
        weight = self.layout.view(self.dense_weight().detach()).contiguous()
        return nn.Parameter(weight, requires_grad=False)

    def extra_repr(self) -> str:
        """What `print(model)` says of the layer."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, group={self.group.name}, "
            f"coordinates={self.group.r_out}x{self.group.r_in}, entries={self.entries}"
        )


def sparse_layers(model: nn.Module) -> dict[str, SparseGradLinear]:
    """The SparseGrad layers of a model by path, each once, in the order of the model."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, SparseGradLinear)
    }


def require_sparse_layers(model: nn.Module) -> dict[str, SparseGradLinear]:
    """The same, for a model that must have some.

    Raises:
        InvalidInput: when it has none.
    """
    layers = sparse_layers(model)
    if not layers:
        raise InvalidInput("the model has no sparse layers; make some by sparsify(model, basis)")
    return layers
