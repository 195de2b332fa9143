"""The training steps of a calibration (paper, section 3.1): gradients come out as frames.

A new task head trains along, as it will in the fine-tuning: before one that stays as it was drawn,
all gradients share its few directions, and a basis of those is a worse one to train in.

Several ranks train as one data-parallel run: a step moves every rank's weights by the mean of
their gradients, so that the ranks keep the same weights, while each rank hands out its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from sparsegrad_shared.calibrations import Normalization
from sparsegrad_shared.errors import InvalidInput, NonFiniteGradient, UnsupportedModel
from sparsegrad_shared.framing import Frame

from ..groups import Layer, LayerGroup
from ..trainable import head_names
from .batches import Batch, to_device
from .frames import (
    Send,
    dense_frame,
    factored_frame,
    factors_are_smaller,
    gather_factors,
    zero_frame,
)
from .hooks import Captured, LayerCapture, nonfinite_entries, users_of
from .plan import Plan
from .preserve import preserved
from .ranks import Ranks
from .sums import GramSums
from .updates import AveragedUpdate

Emit = Callable[[str, int, Frame], None]


@contextmanager
def collecting(
    model: nn.Module,
    plan: Plan,
    *,
    lr: float,
    send: Send,
    wanted: Callable[[str, int], bool],
    emit: Emit,
    head_lr: float = 0.0,
    normalize: Normalization = "none",
    ranks: Ranks | None = None,
) -> Iterator[Collector]:
    """Lend the model to a `Collector`; it comes back as it was, bit for bit.

    Args:
        model: the model; gives a loss for a batch.
        plan: what to collect.
        lr: learning rate of the AdamW steps; with 0 the weights stay where they are.
        send: dense, factored, or whichever is smaller.
        wanted: whether a slot (group, index) is to be sent.
        emit: takes a slot's frame; may block, and so slow the training down.
        head_lr: the same for a task head; with 0 it stays as it is.
        normalize: what is done to gradients before they are summed, if they are.
        ranks: the processes that train together; None for this one alone.
    """
    weights = [layer.weight for group in plan.groups for layer in group.layers]
    with preserved(model, [*weights, *(_head(model, weights) if head_lr else ())]):
        collector = Collector(
            model,
            plan,
            lr=lr,
            send=send,
            wanted=wanted,
            emit=emit,
            head_lr=head_lr,
            normalize=normalize,
            ranks=ranks or Ranks(),
        )
        try:
            yield collector
        finally:
            collector.remove_hooks()


def _head(model: nn.Module, weights: list[nn.Parameter]) -> list[nn.Parameter]:
    """The task head's parameters, without those that the groups train."""
    ours = {id(weight) for weight in weights}
    named = dict(model.named_parameters())
    return [named[name] for name in head_names(model) if id(named[name]) not in ours]


class Collector:
    """Runs steps of ordinary training and hands every layer's gradient out during backward.

    Each weight has its own AdamW. Alone, it steps when the weight's gradient is complete; then
    the gradient is dropped, so no two layers' gradients need to be held at once. With other ranks
    gradients are held until `update`: the order in which a backward pass completes them may
    differ from rank to rank.
    """

    def __init__(
        self,
        model: nn.Module,
        plan: Plan,
        *,
        lr: float,
        send: Send,
        wanted: Callable[[str, int], bool],
        emit: Emit,
        head_lr: float,
        normalize: Normalization,
        ranks: Ranks,
    ) -> None:
        self._model = model
        self._plan = plan
        self._send: Send = send
        self._wanted = wanted
        self._emit = emit
        self._device = next(model.parameters()).device
        self._step = 0
        self._seen: set[str] = set()
        together = (lr or head_lr) and ranks.count > 1
        self._update = AveragedUpdate(ranks) if together else None
        self._sums = {
            group.name: GramSums(group.d_out, group.d_in, self._device, normalize)
            for group in plan.groups
            if plan.summed and wanted(group.name, plan.sums_slot(group))
        }
        self._captures = [
            self._capture(group, position, layer, lr)
            for group in plan.groups
            for position, layer in enumerate(group.layers)
        ]
        weights = [layer.weight for group in plan.groups for layer in group.layers]
        self._head = _head(model, weights) if head_lr else []
        self._after_backward = [self._weight_update(weight, head_lr) for weight in self._head]

    def remove_hooks(self) -> None:
        """Take all hooks away."""
        for capture in self._captures:
            capture.remove()

    def step(self, batch: Batch) -> float:
        """One forward and backward pass; every layer's gradient is handed out before it returns.

        Returns:
            The loss.

        Raises:
            InvalidInput: when the model gives no loss, or one that is not finite.
            NonFiniteGradient: names the step and the layer.
        """
        self._seen.clear()
        loss = self._loss(batch)
        torch.autograd.backward(loss)
        self._train_head()
        for group in self._plan.groups:
            for position, layer in enumerate(group.layers):
                if layer.path not in self._seen:
                    self._hand_out(group, position, layer, None)
        if self._step == self._plan.steps - 1:
            self._hand_out_sums()
        self._step += 1
        return loss.item()

    def update(self) -> None:
        """Move the weights by the mean of all ranks' gradients; alone, they have moved already.

        Called by all ranks at once, after each step.
        """
        if self._update is not None:
            self._update.apply()

    def _train_head(self) -> None:
        for parameter, update in zip(self._head, self._after_backward, strict=True):
            if parameter.grad is not None:
                update()
                parameter.grad = None

    def _loss(self, batch: Batch) -> Tensor:
        output = self._model(**to_device(batch, self._device))
        loss = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
        if not isinstance(loss, Tensor):
            raise InvalidInput(
                f"step {self._step}: the model gave no loss for a batch of {', '.join(batch)}; "
                "a batch needs labels, and the model a head that uses them"
            )
        if not loss.requires_grad:
            raise UnsupportedModel(
                f"step {self._step}: the loss does not depend on any layer of the groups "
                f"{', '.join(group.name for group in self._plan.groups)}"
            )
        if not torch.isfinite(loss):
            raise InvalidInput(
                f"step {self._step}: the loss is {loss.item()}; look at that batch, use float32, "
                "or a smaller lr"
            )
        return loss

    def _capture(self, group: LayerGroup, position: int, layer: Layer, lr: float) -> LayerCapture:
        shared = users_of(self._model, layer.weight) > 1
        if shared and self._send == "factored":
            raise UnsupportedModel(
                f"{layer.path}: its weight belongs to several modules, so its gradient has no "
                'factors of one layer; use send="auto" or "dense"'
            )
        return LayerCapture(
            layer,
            factored=self._send != "dense" and not shared,
            before_drop=self._weight_update(layer.weight, lr),
            take=partial(self._take, group, position, layer),
        )

    def _weight_update(self, weight: nn.Parameter, lr: float) -> Callable[[], object]:
        """What to do when a weight's gradient is complete."""
        if not lr:
            return lambda: None
        optimizer = torch.optim.AdamW([weight], lr=lr, weight_decay=0.0)
        if self._update is None:
            return optimizer.step
        return self._update.keeper(weight, optimizer)

    def _take(self, group: LayerGroup, position: int, layer: Layer, captured: Captured) -> None:
        if layer.path in self._seen:
            raise UnsupportedModel(
                f"{layer.path}: its weight got gradients twice in one backward pass (reentrant "
                "checkpointing of a shared layer); use checkpointing with use_reentrant=False"
            )
        self._seen.add(layer.path)
        bad = nonfinite_entries(captured.G)
        if bad:
            raise NonFiniteGradient(
                f"step {self._step}: the gradient of {layer.path} has {bad} entries of "
                f"{captured.G.numel()} that are NaN or infinite; look at that batch, use float32, "
                "or a smaller lr"
            )
        self._hand_out(group, position, layer, captured)

    def _hand_out(
        self, group: LayerGroup, position: int, layer: Layer, captured: Captured | None
    ) -> None:
        """Sum or emit a layer's gradient; None stands for zero."""
        if self._plan.is_summed(self._step):
            self._sum(group, captured)
            return
        slot = self._plan.slot(group, position, self._step)
        if self._wanted(group.name, slot):
            frame = self._frame(layer, captured) if captured else self._zero_frame(group, layer)
            self._emit(group.name, slot, frame)

    def _sum(self, group: LayerGroup, captured: Captured | None) -> None:
        sums = self._sums.get(group.name)
        if sums is None:
            return
        if captured is None:
            sums.add_zero()
        else:
            sums.add(captured.G)

    def _hand_out_sums(self) -> None:
        for group in self._plan.groups:
            if group.name in self._sums:
                sums = self._sums.pop(group.name)
                self._emit(group.name, self._plan.sums_slot(group), sums.frame())

    def _zero_frame(self, group: LayerGroup, layer: Layer) -> Frame:
        return zero_frame(group.d_out, group.d_in, layer.weight.dtype, self._send)

    def _frame(self, layer: Layer, captured: Captured) -> Frame:
        if captured.calls is None:
            if self._send == "factored":
                raise UnsupportedModel(
                    f"{layer.path}: its weight is used without calling the layer, so its "
                    'gradient has no known factors; use send="auto" or "dense"'
                )
            return dense_frame(captured.G)
        factors = gather_factors(captured.calls, captured.G.dtype)
        if self._send == "factored" or factors_are_smaller(len(factors[0]), *captured.G.shape):
            return factored_frame(factors)
        return dense_frame(captured.G)
