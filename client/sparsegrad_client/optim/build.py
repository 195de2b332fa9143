"""One optimizer for all of a sparse model: `build_optimizer`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from sparsegrad_shared.errors import InvalidInput

from ..layers import SparseGradLinear, require_sparse_layers, sparse_layers
from .masked_adam import MaskedAdam


class SparseGradOptimizer(MaskedAdam):
    """Masked Adam for the sparse layers, and AdamW for whatever else trains.

    To schedulers, loss scaling, clipping and checkpoints it is one optimizer with two parameter
    groups: the coordinates, then the others. The AdamW inside works on the second group and on
    the same state.

    Args:
        layers: the sparse layers.
        others: the other parameters that train; at least one.
        lr: learning rate of the sparse layers.
        head_lr: learning rate of the others.
        betas: decay of the moments, for both.
        eps: added to the denominators, for both.
        weight_decay: AdamW's, for the others (the sparse layers have none).

    Raises:
        InvalidInput: when a setting is out of range or there are no layers.
    """

    def __init__(
        self,
        layers: Iterable[SparseGradLinear],
        others: Iterable[nn.Parameter],
        lr: float = 1e-3,
        head_lr: float = 5e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(layers, lr, betas, eps)
        self._adamw = torch.optim.AdamW(
            others, lr=head_lr, betas=betas, eps=eps, weight_decay=weight_decay
        )
        torch.optim.Optimizer.add_param_group(self, self._adamw.param_groups[0])
        self._share()

    def _share(self) -> None:
        # The same dictionaries, so that a scheduler's new rate reaches AdamW as well.
        self._adamw.param_groups = self.param_groups[1:]
        self._adamw.state = self.state

    def _step_layers(self) -> None:
        super()._step_layers()
        self._adamw.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state, exactly."""
        super().load_state_dict(state_dict)
        self._share()


def other_parameters(model: nn.Module) -> list[nn.Parameter]:
    """What trains of a sparse model beside its layers' coordinates: heads and biases."""
    coordinates = {id(layer.coordinates) for layer in sparse_layers(model).values()}
    return [
        parameter
        for parameter in model.parameters()
        if parameter.requires_grad and id(parameter) not in coordinates
    ]


def build_optimizer(
    model: nn.Module,
    lr: float = 1e-3,
    head_lr: float = 5e-4,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> MaskedAdam:
    """The optimizer of a sparse model: `MaskedAdam`, and AdamW for heads and biases that train.

    Args:
        model: a model that `sparsify` made.
        lr: learning rate of the sparse layers.
        head_lr: learning rate of everything else that trains.
        betas: decay of the moments, for both.
        eps: added to the denominators, for both.
        weight_decay: AdamW's, for everything else that trains.

    Raises:
        InvalidInput: when the model has no sparse layers or a setting is out of range.
    """
    layers = require_sparse_layers(model).values()
    if not head_lr >= 0 or not weight_decay >= 0:
        raise InvalidInput(
            f"head_lr and weight_decay: expected at least 0, got {head_lr} and {weight_decay}"
        )
    others = other_parameters(model)
    if not others:
        return MaskedAdam(layers, lr, betas, eps)
    return SparseGradOptimizer(layers, others, lr, head_lr, betas, eps, weight_decay)
