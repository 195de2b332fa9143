"""Masked Adam: Adam on the entries of each gradient that the layer selects (paper, section 5.1).

The rule is that of `torch.optim.SparseAdam`: an entry that a step does not keep keeps its value
and its moments, and the bias correction counts all steps. `masked_adam_reference` says it
densely. Here moments exist for entries that were ever kept only.

State of each layer's coordinates::

    step        int       steps so far
    indices     n, int64  positions in W̃ that were ever kept, rising
    exp_avg     n         their first moments
    exp_avg_sq  n         their second moments

With error feedback a step selects from its gradient plus what the steps before it have left of
theirs. In time most entries are kept by some step, so moments are held in full::

    step        int                 steps so far
    exp_avg     n_rows × n_columns  first moments, zero where no step has kept the entry
    exp_avg_sq  n_rows × n_columns  second moments, likewise
    remainder   n_rows × n_columns  what steps have left of their gradients
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
from ..sharding import entries_here, part_here
from ..sparse_vector import unite


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
        states = [self.state[each] for each in self._layers if each in self.state]
        return sum(
            int(state["exp_avg_sq"].count_nonzero())
            if "remainder" in state
            else state["indices"].numel()
            for state in states
        )

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
        sources = [self._with_remainder(layer, gradient) for _, layer, gradient in stepped]
        chosen = [
            (group, layer, source, layer.select(source))
            for (group, layer, _), source in zip(stepped, sources, strict=True)
        ]
        for group, layer, source, indices in chosen:
            self._step_layer(group, layer, source, indices)

    def _with_remainder(self, layer: SparseGradLinear, gradient: Tensor) -> Tensor:
        """What to select from: with error feedback the remainder, which has the gradient now."""
        state = self.state[layer.coordinates] or self._new_state(layer)
        if not layer.feeds_back:
            _forget_remainder(state)
            return gradient
        remainder: Tensor = state["remainder"]
        return remainder.add_(gradient)

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
        if layer.feeds_back:
            state["remainder"].view(-1)[indices] = 0
        at = indices if layer.feeds_back else _grow(state, layer.positions_of(indices))
        exp_avg, exp_avg_sq = state["exp_avg"].view(-1), state["exp_avg_sq"].view(-1)
        beta1, beta2 = group["betas"]
        first = exp_avg[at].lerp_(gradient, 1 - beta1)
        second = exp_avg_sq[at].lerp_(gradient.square(), 1 - beta2)
        exp_avg[at], exp_avg_sq[at] = first, second
        step = state["step"] = state["step"] + 1
        size = group["lr"] * math.sqrt(1 - beta2**step) / (1 - beta1**step)
        layer.add_entries_(indices, -size * first / (second.sqrt() + group["eps"]))

    def _new_state(self, layer: SparseGradLinear) -> dict[str, Any]:
        layer.check_support()
        state: dict[str, Any] = self.state[layer.coordinates]
        state["step"] = 0
        coordinates = part_here(layer.coordinates)
        if layer.feeds_back:
            for name in ("exp_avg", "exp_avg_sq", "remainder"):
                state[name] = coordinates.new_zeros(layer.shape)
        else:
            empty = coordinates.new_empty(0)
            state.update(indices=empty.long(), exp_avg=empty, exp_avg_sq=empty.clone())
        return state

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
                _check_feedback(self._layers[parameter], saved="remainder" in state)
                if "indices" in state:
                    indices = state["indices"].to(parameter.device).clone()
                    self.state[parameter]["indices"] = indices


def _grow(state: dict[str, Any], positions: Int64[Tensor, " k"]) -> Int64[Tensor, " k"]:
    """Give entries moments that have none; returns where the moments of these entries are."""
    union = unite(state["indices"], positions)
    exp_avg, exp_avg_sq = union.spread(state["exp_avg"]), union.spread(state["exp_avg_sq"])
    state.update(indices=union.indices, exp_avg=exp_avg, exp_avg_sq=exp_avg_sq)
    return union.new_at


def _forget_remainder(state: dict[str, Any]) -> None:
    """Hold moments sparsely, where they were held in full: a layer moved to a block."""
    if "remainder" not in state:
        return
    del state["remainder"]
    exp_avg, exp_avg_sq = state["exp_avg"].view(-1), state["exp_avg_sq"].view(-1)
    indices = exp_avg_sq.nonzero().flatten()
    state.update(indices=indices, exp_avg=exp_avg[indices], exp_avg_sq=exp_avg_sq[indices])


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
