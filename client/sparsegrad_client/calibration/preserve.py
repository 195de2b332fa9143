"""A model lent to a calibration and given back bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def preserved(model: nn.Module, weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Unfreeze `weights` alone, in training mode; afterwards everything is as it was.

    Weights, buffers, `requires_grad` flags, `.grad` and each module's mode come back, whatever
    happens in between.

    Args:
        model: the model.
        weights: what is trained meanwhile.
    """
    parameters = list(model.parameters())
    flags = [parameter.requires_grad for parameter in parameters]
    gradients = [parameter.grad for parameter in parameters]
    modes = [(module, module.training) for module in model.modules()]
    tensors = [*weights, *model.buffers()]
    # In main memory: the accelerator needs its own for the training.
    copies = [tensor.detach().to("cpu", copy=True) for tensor in tensors]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
            parameter.grad = None
        for weight in weights:
            weight.requires_grad_(True)
        model.train()
        yield
    finally:
        with torch.no_grad():
            for tensor, copy in zip(tensors, copies, strict=True):
                tensor.copy_(copy)
        for parameter, flag, gradient in zip(parameters, flags, gradients, strict=True):
            parameter.requires_grad_(flag)
            parameter.grad = gradient
        for module, training in modes:
            module.training = training
