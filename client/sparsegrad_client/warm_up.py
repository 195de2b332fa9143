"""A warm-up: where the gradients of a model have their energy, before anything is trained.

The energy of a layer is Σ G̃∘G̃ over batches, r_out × r_in, with G̃ = Vᵀ G U and nothing updated
between. Supports are chosen by it: the entries, or the rows and the columns, that hold the most.
G is known by its factors, so a quantised layer, whose weight has no gradient, is no exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sparsegrad_shared.errors import InvalidInput

from .basis import GroupBasis
from .calibration.batches import Batch, to_device
from .calibration.preserve import preserved
from .calibration.ranks import Ranks
from .layers.rotation import gradient_in_basis, tokens

WARM_UP = 8  # batches whose gradients choose a frozen support, where nobody says

Reduce = Callable[[Float[Tensor, "r_out r_in"]], tuple[Tensor, ...]]


@dataclass(eq=False)
class Watched:
    """A layer whose gradient's energy is added up.

    Attributes:
        name: its path, for errors.
        modules: the modules that compute it; several where a layer is shared.
        group: its group in the basis.
        reduce: what of the energy is kept: all of it, or sums over rows and columns.
        energy: the sums so far, as `reduce` gives them.
    """

    name: str
    modules: Sequence[nn.Module]
    group: GroupBasis
    reduce: Reduce
    energy: tuple[Tensor, ...] = ()
    _gradient: Tensor | None = field(default=None, init=False)

    def add_call(self, g: Tensor, x: Tensor) -> None:
        """Add one call's part to the gradient of this batch."""
        g, x = tokens(g.detach()), tokens(x.detach())
        dtype = g.dtype if g.dtype == torch.float64 else torch.float32
        U, V = self.group.on(g.device, dtype)
        part = gradient_in_basis(g.to(dtype), x.to(dtype), U, V)
        self._gradient = part if self._gradient is None else self._gradient + part

    def finish_batch(self) -> None:
        """Add the energy of this batch's gradient."""
        if self._gradient is None:
            return
        new = self.reduce(self._gradient.square())
        before = self.energy or tuple(map(torch.zeros_like, new))
        self.energy = tuple(a + b for a, b in zip(before, new, strict=True))
        self._gradient = None


def all_entries(energy: Float[Tensor, "r_out r_in"]) -> tuple[Tensor, ...]:
    """Keep the energy of every entry."""
    return (energy,)


def rows_and_columns(energy: Float[Tensor, "r_out r_in"]) -> tuple[Tensor, ...]:
    """Keep the energy of every row and of every column."""
    return energy.sum(1), energy.sum(0)


def measure(
    model: nn.Module, layers: Sequence[Watched], batches: Iterable[Batch], ranks: Ranks
) -> None:
    """Add up the energy of the layers' gradients over batches; the model is left as it was.

    Args:
        model: gives a loss for a batch: ``model(**batch).loss``.
        layers: what to watch; their `energy` is filled.
        batches: keyword arguments for the model, labels among them; each rank's own.
        ranks: the processes whose energies are added up, so that all choose the same support.

    Raises:
        InvalidInput: when there is no batch, a loss is not finite, or a layer met no gradient.
        RankFailed: when that is so on another rank.
    """
    with ranks.agreed():
        _measure_here(model, layers, batches)
    for layer in layers:
        layer.energy = tuple(map(ranks.sum_, layer.energy))


def _measure_here(model: nn.Module, layers: Sequence[Watched], batches: Iterable[Batch]) -> None:
    device = next(model.parameters()).device
    count = 0
    with preserved(model, ()), torch.random.fork_rng(), _watching(layers):
        for count, batch in enumerate(batches, start=1):
            loss = model(**to_device(batch, device)).loss
            if not bool(loss.isfinite()):
                raise InvalidInput(
                    f"warm-up: the loss of batch {count} is {loss.item()}; leave the batch out"
                )
            if loss.requires_grad:  # it depends on one of the layers at least
                loss.backward()
            for layer in layers:
                layer.finish_batch()
    if count == 0:
        raise InvalidInput("warm-up: expected at least one batch, got none")
    for layer in layers:
        if not layer.energy or not any(bool(part.any()) for part in layer.energy):
            raise InvalidInput(
                f"warm-up: layer {layer.name!r} met no gradient in {count} batches; its loss does "
                "not depend on it"
            )


@contextmanager
def _watching(layers: Sequence[Watched]) -> Iterator[None]:
    with ExitStack() as stack:
        for layer in layers:
            for module in layer.modules:
                handle = module.register_forward_hook(_note(layer), with_kwargs=True)
                stack.callback(handle.remove)
        yield


def _note(layer: Watched) -> Callable[..., Tensor]:
    def note(
        module: nn.Module, args: tuple[Tensor, ...], kwargs: Mapping[str, Any], output: Tensor
    ) -> Tensor:
        x = args[0] if args else next(iter(kwargs.values()))
        if not output.requires_grad:
            # Everything before it is frozen: the gradient starts here.
            output = output.detach().requires_grad_()
        output.register_hook(lambda g: layer.add_call(g, x))  # type: ignore[no-untyped-call]
        return output

    return note
