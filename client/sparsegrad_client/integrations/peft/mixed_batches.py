"""Batches in which each example has an adapter of its own: `model(**inputs, adapter_names=[...])`.

PEFT takes that argument and asks the tuner to hand it on. The words of its errors are PEFT's, so
that a program that looks for them finds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from peft.utils import AuxiliaryTrainingWrapper
from torch import Tensor, nn

from .layer import BASE, SparseGradPeftLayer


@contextmanager
def each_its_adapter(model: nn.Module, names: Sequence[str], beams: int = 1) -> Iterator[None]:
    """While this is entered, every layer that has adapters is told which example takes which.

    Args:
        model: a model with adapters.
        names: an adapter's name for each example, or ``__base__`` for none.
        beams: copies of each example side by side, where a beam search makes some.

    Raises:
        ValueError: when the model trains, or a name is unknown.
    """
    if model.training:
        raise ValueError("Cannot pass `adapter_names` when the model is in training mode.")
    layers = [module for module in model.modules() if isinstance(module, SparseGradPeftLayer)]
    known = {BASE}.union(*(layer.sparsegrad_subspaces for layer in layers))
    if not known.issuperset(names):
        unknown = ", ".join(sorted(set(names) - known))
        raise ValueError(f"Trying to infer with non-existing adapter(s): {unknown}")

    def tell(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        x: Tensor = args[0]
        # The encoder of a sequence-to-sequence model sees each example once.
        copies = beams if len(x) == beams * len(names) else 1
        return args, kwargs | {"adapter_names": [name for name in names for _ in range(copies)]}

    told = (*layers, *(m for m in model.modules() if isinstance(m, AuxiliaryTrainingWrapper)))
    handles = [module.register_forward_pre_hook(tell, with_kwargs=True) for module in told]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
