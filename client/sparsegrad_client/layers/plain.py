"""The plain linear layers that SparseGrad replaces and gives back.

``nn.Linear`` holds its weight as d_out × d_in; GPT-2's ``Conv1D`` holds the same matrix the other
way round, d_in × d_out. Engines see d_out × d_in always: a `Layout` is the view between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers.pytorch_utils import Conv1D

from sparsegrad_shared.errors import UnsupportedModel

# Where adding a step of 1e-6 to a weight of 1 still changes it (half precision loses it).
TRAINABLE_DTYPES = (torch.float32, torch.float64)


@dataclass(frozen=True)
class Layout:
    """How one class of plain layer holds its weight.

    Args:
        transposed: whether the layer holds d_in × d_out.
        make: builds an empty layer from d_in, d_out and whether it has a bias.
    """

    transposed: bool
    make: Callable[[int, int, bool], nn.Module]

    def view(self, weight: Tensor) -> Tensor:
        """The layer's own weight as d_out × d_in, or the other way back; no copy."""
        return weight.t() if self.transposed else weight

    def build(self, weight: nn.Parameter, bias: nn.Parameter | None) -> nn.Module:
        """A plain layer around a weight in the layer's own layout."""
        d_out, d_in = self.view(weight).shape
        layer = self.make(d_in, d_out, bias is not None)
        layer.weight = weight
        if bias is not None:
            layer.bias = bias
        return layer


def _linear(d_in: int, d_out: int, bias: bool) -> nn.Module:
    return nn.Linear(d_in, d_out, bias=bias, device="meta")


def _conv1d(d_in: int, d_out: int, bias: bool) -> nn.Module:
    with torch.device("meta"):
        layer: nn.Module = Conv1D(d_out, d_in)  # type: ignore[no-untyped-call]
        return layer


_LAYOUTS: dict[type[nn.Module], Layout] = {
    nn.Linear: Layout(transposed=False, make=_linear),
    Conv1D: Layout(transposed=True, make=_conv1d),
}


@dataclass(frozen=True, eq=False)
class PlainLayer:
    """A plain layer's parts: its parameters (the very objects) and its layout.

    Attributes:
        module: the layer itself.
        layout: how it holds its weight; None where that is the business of whoever quantised it.
        weight: the weight, packed when quantised.
        bias: the bias.
        shape: d_out and d_in.
    """

    module: nn.Module
    layout: Layout | None
    weight: nn.Parameter
    bias: nn.Parameter | None
    shape: tuple[int, int]

    @property
    def training(self) -> bool:
        """Whether it was in training mode."""
        return self.module.training

    @property
    def device(self) -> torch.device:
        """Where its weight is."""
        return self.weight.device

    @property
    def is_trainable(self) -> bool:
        """Whether small steps can be added to its weight."""
        return self.layout is not None and self.weight.dtype in TRAINABLE_DTYPES

    @property
    def dtype(self) -> str:
        """What its weight is, in words."""
        name = str(self.weight.dtype).removeprefix("torch.")
        return name if self.layout else f"quantised ({type(self.module).__name__})"

    def take_bias(self, *, trains: bool) -> nn.Parameter | None:
        """The bias, frozen or not."""
        if self.bias is not None:
            self.bias.requires_grad_(trains)
        return self.bias

    def matrix(self, name: str) -> Float[Tensor, "d_out d_in"]:
        """The weight, d_out × d_in, outside of autograd; no copy.

        Raises:
            UnsupportedModel: when it is quantised, or too coarse for small steps.
        """
        if self.layout is None:
            raise UnsupportedModel(
                f"layer {name!r}: its weight is {self.dtype}, and cannot be changed in place; "
                "train it by engine='adapter'"
            )
        check_dtype(self.weight, name)
        return self.layout.view(self.weight.detach())


def is_plain(module: nn.Module) -> bool:
    """Whether the module is of a class that SparseGrad can replace, with a weight to read."""
    return type(module) in _LAYOUTS and not _is_packed(module)


def is_linear(module: nn.Module) -> bool:
    """Whether the module is a linear layer, plain or quantised."""
    return isinstance(module, tuple(_LAYOUTS))


def _is_packed(module: nn.Module) -> bool:
    """Whether the weight holds its numbers some other way (torchao, bitsandbytes)."""
    weight = module.weight
    return type(weight.data if isinstance(weight, nn.Parameter) else weight) is not Tensor


def read_plain(module: nn.Module, name: str) -> PlainLayer:
    """Take a linear layer apart.

    Raises:
        UnsupportedModel: when the layer is of another class, does more than its class says
            (hooks, a forward of its own), or is not loaded; names the layer and says what to do.
    """
    if not is_linear(module) or parametrize.is_parametrized(module):
        classes = " or ".join(cls.__name__ for cls in _LAYOUTS)
        raise UnsupportedModel(
            f"layer {name!r}: expected a {classes}, got a {type(module).__name__}"
        )
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    if any(hooks) or module._backward_pre_hooks or "forward" in vars(module):
        raise UnsupportedModel(
            f"layer {name!r} has hooks or a forward of its own, which replacing it would lose; "
            "remove them first (an offloaded model: load it whole on one device)"
        )
    weight, bias = module.weight, module.bias
    if not isinstance(weight, nn.Parameter) or not isinstance(bias, nn.Parameter | None):
        raise UnsupportedModel(f"layer {name!r}: its weight or bias is not a parameter")
    if weight.is_meta:
        raise UnsupportedModel(f"layer {name!r} has no weights yet (meta device); load them first")
    layout = _LAYOUTS[type(module)] if is_plain(module) else None
    return PlainLayer(module, layout, weight, bias, shape_of(module, name))


def shape_of(module: nn.Module, name: str) -> tuple[int, int]:
    """Outputs and inputs of a linear layer, of whatever class.

    Anything with `out_features` and `in_features` is taken for one: quantised layers have them.

    Raises:
        UnsupportedModel: when the module is no linear layer.
    """
    if isinstance(module, Conv1D):
        d_in, d_out = module.weight.shape
        return d_out, d_in
    sizes = getattr(module, "out_features", None), getattr(module, "in_features", None)
    if not isinstance(sizes[0], int) or not isinstance(sizes[1], int):
        raise UnsupportedModel(
            f"layer {name!r} is a {type(module).__name__}; expected a linear layer, "
            "with in_features and out_features, or a Conv1D of transformers"
        )
    return sizes[0], sizes[1]


def check_dtype(weight: Tensor, name: str) -> None:
    """Refuse a weight in which small steps would be lost.

    Raises:
        UnsupportedModel: when the weight is neither float32 nor float64.
    """
    if weight.dtype not in TRAINABLE_DTYPES:
        raise UnsupportedModel(
            f"layer {name!r}: expected a float32 or float64 weight, got {weight.dtype}, which "
            "would lose the small steps of training; train it by engine='adapter', or convert "
            "the model by model.float() (torch.autocast may still compute in half precision)"
        )
