"""What an adapter's buffers hold, packed: flat positions, and the digest of a basis."""

from __future__ import annotations

import torch
from jaxtyping import Int, Int64, UInt8
from torch import Tensor

_INT32 = torch.iinfo(torch.int32).max


def pack_indices(indices: Int64[Tensor, " n"], size: int) -> Int[Tensor, " n"]:
    """Positions in a vector of `size`: int32, or int64 where that is not enough."""
    return indices.int() if size - 1 <= _INT32 else indices


def pack_digest(digest: str) -> UInt8[Tensor, " 32"]:
    """The bytes of ``sha256:<hex>``."""
    content = bytes.fromhex(digest.removeprefix("sha256:"))
    return torch.tensor(list(content), dtype=torch.uint8)


def unpack_digest(packed: UInt8[Tensor, " 32"]) -> str:
    """``sha256:<hex>`` of these bytes."""
    return f"sha256:{bytes(packed.tolist()).hex()}"
