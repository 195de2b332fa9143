"""The digest of a basis, packed into a buffer."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor


def pack_digest(digest: str) -> UInt8[Tensor, " 32"]:
    """The bytes of ``sha256:<hex>``."""
    content = bytes.fromhex(digest.removeprefix("sha256:"))
    return torch.tensor(list(content), dtype=torch.uint8)


def unpack_digest(packed: UInt8[Tensor, " 32"]) -> str:
    """``sha256:<hex>`` of these bytes."""
    return f"sha256:{bytes(packed.tolist()).hex()}"
