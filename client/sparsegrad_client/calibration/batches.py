"""The batches of a calibration: as many as it needs, what they are, and where they go."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sparsegrad_shared.errors import InvalidInput

Batch = Mapping[str, Any]


def take(batches: Iterable[Batch], count: int) -> list[Batch]:
    """The first `count` batches; an iterable that can be read again is read again for more.

    Raises:
        InvalidInput: when there are fewer and they cannot be read again, or one is no mapping.
    """
    taken: list[Batch] = []
    once = isinstance(batches, Iterator)
    while len(taken) < count:
        before = len(taken)
        for batch in batches:
            taken.append(_checked(batch, len(taken)))
            if len(taken) == count:
                break
        if len(taken) < count and (once or len(taken) == before):
            raise InvalidInput(
                f"calibration needs {count} batches (steps + held_out); {len(taken)} came. Pass a "
                "DataLoader or a list, which can be read again, or ask for fewer steps"
            )
    return taken


def _checked(batch: object, index: int) -> Batch:
    if not isinstance(batch, Mapping):
        raise InvalidInput(
            f"batch {index}: expected keyword arguments for the model, such as a dictionary of "
            f"tensors with labels; got a {type(batch).__name__}"
        )
    return batch


def fingerprint(batches: Iterable[Batch]) -> str:
    """A digest over every tensor of the batches: names, types, shapes and values."""
    hasher = hashlib.sha256()
    for batch in batches:
        for name in sorted(batch):
            value = batch[name]
            if isinstance(value, Tensor):
                hasher.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
                flat = value.detach().cpu().contiguous().reshape(-1)
                hasher.update(flat.view(torch.uint8).numpy().data)
            else:
                hasher.update(f"{name} {value!r}\n".encode())
    return f"sha256:{hasher.hexdigest()}"


def joint_fingerprint(fingerprints: Sequence[str]) -> str:
    """A digest over the batches of all ranks, by the fingerprint of each."""
    if len(fingerprints) == 1:
        return fingerprints[0]
    return f"sha256:{hashlib.sha256(chr(10).join(fingerprints).encode()).hexdigest()}"


def to_device(batch: Batch, device: torch.device) -> dict[str, Any]:
    """The batch with its tensors on a device."""
    return {
        name: value.to(device) if isinstance(value, Tensor) else value
        for name, value in batch.items()
    }
