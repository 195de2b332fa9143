"""Which gradients a result comes from, as one digest."""

from __future__ import annotations

from collections.abc import Sequence

from sparsegrad_shared.digests import digest_of

from ..catalog.tables import GradientRow


def lineage_digest(rows: Sequence[GradientRow]) -> str:
    """The digest over one line a gradient, `index form digest`, rising by index."""
    return digest_of(f"{row.index} {row.form} {row.digest}\n".encode() for row in rows)
