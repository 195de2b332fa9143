"""Hooks that take each layer's gradient as soon as the backward pass has it.

For the factors, x is noted when a layer is called and g when the backward pass reaches that very
call, by a hook on its output. So a layer that is called twice gives both calls' rows, and the
second forward of gradient checkpointing, whose outputs no gradient reaches, gives none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..groups import Layer


@dataclass(frozen=True, eq=False)
class Captured:
    """A layer's gradient at one step.

    Attributes:
        G: the gradient, d_out × d_in; the caller's own.
        calls: g and x of each call of the layer; None when they are not noted.
    """

    G: Float[Tensor, "d_out d_in"]
    calls: Sequence[tuple[Tensor, Tensor]] | None


class LayerCapture:
    """Takes the gradient of one layer's weight, and leaves none behind.

    Args:
        layer: the layer.
        factored: whether to note g and x as well.
        before_drop: called while the weight still has its gradient: an optimizer's step.
        take: called with what was captured, once a backward pass.
    """

    def __init__(
        self,
        layer: Layer,
        *,
        factored: bool,
        before_drop: Callable[[], object],
        take: Callable[[Captured], None],
    ) -> None:
        self._layer = layer
        self._before_drop = before_drop
        self._take = take
        self._calls: list[tuple[Tensor, Tensor]] | None = [] if factored else None
        self._handles: list[RemovableHandle] = [
            layer.weight.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                self._complete
            )
        ]
        if factored:
            self._handles.append(
                layer.module.register_forward_hook(self._note_call, with_kwargs=True)
            )

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._calls = None

    def _note_call(
        self, module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], output: Tensor
    ) -> None:
        if not output.requires_grad:
            return
        x = (args[0] if args else next(iter(kwargs.values()))).detach()

        def note_gradient(g: Tensor) -> None:
            if self._calls is not None:
                self._calls.append((g.detach(), x))

        output.register_hook(note_gradient)  # type: ignore[no-untyped-call]

    def _complete(self, weight: Tensor) -> None:
        gradient = weight.grad
        if gradient is None:
            return
        calls = self._calls
        if calls is not None:
            self._calls = []
        self._before_drop()
        weight.grad = None
        G = gradient.t() if self._layer.transposed else gradient
        self._take(Captured(G, calls or None))


def users_of(model: nn.Module, weight: nn.Parameter) -> int:
    """How many modules hold that very weight."""
    return sum(
        any(held is weight for held in module.parameters(recurse=False))
        for module in model.modules()
    )


def nonfinite_entries(G: Tensor) -> int:
    """How many entries are NaN or infinite."""
    return G.numel() - int(torch.isfinite(G).sum())
