"""The processes that calibrate or warm up together, and how they keep together.

Texts travel as bytes in tensors, by all-reduce alone: every backend has it, on every device, and
nothing is pickled. A rank that fails tells the others, so that all of them end; one that dies
without a word ends the others through torch, at once or after the group's time-out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain

import torch
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from sparsegrad_shared.errors import InvalidInput, RankFailed, UnsupportedModel


class Ranks:
    """A process group, or this process alone.

    Every method but the properties is called by all ranks at once.

    Args:
        group: the processes; None for this one alone.
        device: where tensors have to be to travel: the model's.

    Attributes:
        rank: which of the processes this is.
        count: how many they are.
    """

    def __init__(
        self,
        group: distributed.ProcessGroup | None = None,
        device: torch.device | None = None,
    ) -> None:
        self._group = group
        self._device = device
        self.rank = 0 if group is None else group.rank()
        self.count = 1 if group is None else group.size()

    @property
    def is_first(self) -> bool:
        """Whether this rank does what only one does."""
        return self.rank == 0

    def sum_(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over the ranks, in place.

        Raises:
            RankFailed: when another rank answers no more.
        """
        if self.count == 1:
            return tensor
        try:
            distributed.all_reduce(tensor, group=self._group)
        except RuntimeError as error:
            raise RankFailed(
                f"rank {self.rank} of {self.count}: another rank answers no more: {error}"
            ) from error
        return tensor

    def gather(self, text: str) -> list[str]:
        """Every rank's text, by rank."""
        if self.count == 1:
            return [text]
        data = text.encode()
        lengths = torch.zeros(self.count, dtype=torch.int64, device=self._device)
        lengths[self.rank] = len(data)
        sizes = self.sum_(lengths).tolist()
        if not any(sizes):
            return [""] * self.count
        rows = torch.zeros(self.count, max(sizes), dtype=torch.uint8)
        if data:
            rows[self.rank, : len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        texts = self.sum_(rows.to(self._device)).cpu().numpy()
        return [row[:size].tobytes().decode() for row, size in zip(texts, sizes, strict=True)]

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """Leave a block together: when one rank raises in it, all do.

        The block itself must not wait for other ranks.

        Raises:
            RankFailed: on the ranks that did not fail themselves; says which did, and how.
        """
        try:
            yield
        except BaseException as error:
            with suppress(RankFailed):
                self.gather(f"{type(error).__name__}: {error}")
            raise
        failures = [f"rank {rank}: {text}" for rank, text in enumerate(self.gather("")) if text]
        if failures:
            raise RankFailed("; ".join(failures))

    def first(self, do: Callable[[], str]) -> str:
        """What the first rank's `do` answers, on all ranks; the others do nothing.

        Raises:
            RankFailed: when it raised there.
        """
        answer = ""
        with self.agreed():
            if self.is_first:
                answer = do()
        return self.gather(answer)[0]

    def check_same(self, what: str, text: str) -> None:
        """Refuse ranks that were told different things.

        Raises:
            InvalidInput: on every rank, when their texts differ; names the ranks.
        """
        texts = self.gather(text)
        others = [rank for rank, theirs in enumerate(texts) if theirs != texts[0]]
        if others:
            raise InvalidInput(
                f"{what}: expected the same on all ranks; rank {others[0]} differs from rank 0"
            )

    def check_model(self, model: nn.Module) -> None:
        """Refuse a model that is not whole on every rank, and the same bit for bit.

        Raises:
            UnsupportedModel: when the model is wrapped or sharded.
            InvalidInput: when it differs between the ranks; names a parameter.
        """
        if self.count == 1:
            return
        with self.agreed():
            _check_whole(model)
        states = list(chain(model.named_parameters(), model.named_buffers()))
        layout = [f"{name} {tuple(tensor.shape)} {tensor.dtype}" for name, tensor in states]
        self.check_same("the model's parameters", "\n".join(layout))
        flags = torch.stack([self._differs(tensor.detach()) for _, tensor in states])
        ranks = self.sum_(flags).tolist()
        different = [name for (name, _), count in zip(states, ranks, strict=True) if count]
        if different:
            raise InvalidInput(
                f"{different[0]} and {len(different) - 1} further tensors of the model differ "
                "between the ranks; load the same weights everywhere, and set the same seed "
                "before a new head is made"
            )

    def _differs(self, tensor: Tensor) -> Tensor:
        theirs = tensor.clone().contiguous()
        try:
            distributed.broadcast(theirs, group=self._group, group_src=0)
        except RuntimeError as error:
            raise RankFailed(f"rank {self.rank}: rank 0 answers no more: {error}") from error
        same = torch.equal(theirs, tensor)
        return torch.tensor(int(not same), dtype=torch.int32, device=self._device)


def _check_whole(model: nn.Module) -> None:
    if isinstance(model, DistributedDataParallel):
        raise UnsupportedModel(
            "calibration averages the ranks' gradients itself; give it the model inside, "
            "model.module"
        )
    sharded = [name for name, tensor in model.named_parameters() if isinstance(tensor, DTensor)]
    if sharded:
        raise UnsupportedModel(
            f"{sharded[0]} is sharded over the ranks; calibrate before fully_shard, with a whole "
            "model on every rank"
        )
