"""Masked Adam: Adam on the entries of each gradient that the layer selects (paper, section 5.1).

The rule is that of `torch.optim.SparseAdam`: an entry that a step does not keep keeps its value
and its moments, and the bias correction counts all steps. `masked_adam_reference` says it
densely; `moments` says what is held of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from sparsegrad_shared.errors import InvalidInput

from ..layers import SparseGradLinear
from ..selection import check_finite
from ..sharding import entries_here
from .moments import State, are_full, make_sparse, moments_of, touched


class MaskedAdam(torch.optim.Optimizer):
    """Adam over the entries that each step keeps.

    Args:
        layers: the layers to train, each with its own number of entries a step.
        lr: learning rate.
        betas: decay of the two moments.
        eps: added to the denominator.

    Raises:
        InvalidInput: when a setting is out of range or there are no layers.
    """

    def __init__(
        self,
        layers: Iterable[SparseGradLinear],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self._layers = {layer.coordinates: layer for layer in layers}
        if not self._layers:
            raise InvalidInput("MaskedAdam: expected at least one SparseGradLinear, got none")
        check_settings(lr, betas, eps)
        super().__init__(list(self._layers), {"lr": lr, "betas": betas, "eps": eps})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refused once it is made: which layers there are is known from the beginning.

        Raises:
            InvalidInput: when a parameter is no sparse layer's; says what to do instead.
        """
        super().add_param_group(param_group)
        if not all(each in self._layers for each in self.param_groups[-1]["params"]):
            self.param_groups.pop()
            raise InvalidInput(
                "this optimizer does not take parameters later: have them require gradients and "
                "make another one, build_optimizer(model), or step them by one of their own"
            )

    def touched_entries(self) -> int:
        """How many entries have moments: those that any step has kept."""
        return sum(touched(self.state[each]) for each in self._layers if each in self.state)

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Callable[[], float | Tensor] | None = None
    ) -> float | Tensor | None:
        """Take one step.

        Args:
            closure: computes the loss anew, as for any optimizer of torch.

        Returns:
            What the closure returned, if there is one.

        Raises:
            NonFiniteGradient: when a gradient holds NaN or infinity; names the layer, and no
                layer is changed.
        """
        loss = _evaluate(closure)
        self._step_layers()
        return loss

    def _step_layers(self) -> None:
        stepped = [
            (group, layer, coordinates.grad)
            for group in self.param_groups
            for coordinates in group["params"]
            if (layer := self._layers.get(coordinates)) and coordinates.grad is not None
        ]
        # Look at every layer before any is changed: a bad gradient then changes nothing, not even
        # what steps have left. A selection looks at what it selects from.
        for _, layer, gradient in stepped:
            if layer.feeds_back:
                check_finite(gradient, layer.name)
        sources = [
            moments_of(layer).add(self._state_of(layer), gradient) for _, layer, gradient in stepped
        ]
        chosen = [
            (group, layer, source, layer.select(source))
            for (group, layer, _), source in zip(stepped, sources, strict=True)
        ]
        for group, layer, source, indices in chosen:
            self._step_layer(group, layer, source, indices)

    def _state_of(self, layer: SparseGradLinear) -> State:
        """The layer's state, as it is held now."""
        state: State = self.state[layer.coordinates]
        if not state:
            layer.check_support()
            moments_of(layer).begin(state, layer)
        elif are_full(state) and not layer.feeds_back:
            make_sparse(state)
        return state

    def _step_layer(
        self,
        group: dict[str, Any],
        layer: SparseGradLinear,
        gradient: Tensor,
        indices: Int64[Tensor, " k"],
    ) -> None:
        state = self.state[layer.coordinates]
        # Under FSDP2 a rank holds, and steps, some rows of the block.
        indices, gradient = entries_here(gradient, indices)
        at = moments_of(layer).keep(state, layer, indices)
        exp_avg, exp_avg_sq = state["exp_avg"].view(-1), state["exp_avg_sq"].view(-1)
        beta1, beta2 = group["betas"]
        first = exp_avg[at].lerp_(gradient, 1 - beta1)
        second = exp_avg_sq[at].lerp_(gradient.square(), 1 - beta2)
        exp_avg[at], exp_avg_sq[at] = first, second
        step = state["step"] = state["step"] + 1
        size = group["lr"] * math.sqrt(1 - beta2**step) / (1 - beta1**step)
        layer.add_entries_(indices, -size * first / (second.sqrt() + group["eps"]))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state, exactly.

        Raises:
            InvalidInput: when it was saved with error feedback and the layers have none, or the
                other way round.
        """
        super().load_state_dict(state_dict)
        # torch casts every tensor of the state to the parameter's type, indices too.
        saved = [key for group in state_dict["param_groups"] for key in group["params"]]
        ours = [parameter for group in self.param_groups for parameter in group["params"]]
        for key, parameter in zip(saved, ours, strict=True):
            state = state_dict["state"].get(key)
            if state is not None and parameter in self._layers:
                _check_feedback(self._layers[parameter], saved=are_full(state))
                if "indices" in state:
                    indices = state["indices"].to(parameter.device).clone()
                    self.state[parameter]["indices"] = indices


def _check_feedback(layer: SparseGradLinear, *, saved: bool) -> None:
    if saved != layer.feeds_back:
        raise InvalidInput(
            f"layer {layer.name!r}: the optimizer's state was saved with error_feedback={saved}, "
            f"the layer has error_feedback={layer.feeds_back}; sparsify the model as it was then"
        )


def check_settings(lr: float, betas: tuple[float, float], eps: float) -> None:
    """Refuse settings of Adam that are out of range.

    Raises:
        InvalidInput: when one is.
    """
    if not lr >= 0:
        raise InvalidInput(f"lr: expected at least 0, got {lr}")
    if not all(0 <= beta < 1 for beta in betas):
        raise InvalidInput(f"betas: expected two values from 0 to below 1, got {betas}")
    if not eps > 0:
        raise InvalidInput(f"eps: expected a value over 0, got {eps}")


def _evaluate(closure: Callable[[], float | Tensor] | None) -> float | Tensor | None:
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()
