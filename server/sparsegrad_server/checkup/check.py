"""The check: every digest and every reference, while the server runs; it changes nothing."""

from __future__ import annotations

from sqlalchemy import func, select

from sparsegrad_shared.bases import BasisManifest
from sparsegrad_shared.digests import verify_file
from sparsegrad_shared.errors import CorruptFile

from ..catalog.bases import live
from ..catalog.tables import BasisRow, GradientRow, VersionRow
from ..jobs.partial import named_digest
from ..store.files import tree
from .bases import check_bases
from .findings import Notes
from .gradients import check_gradients
from .parts import Parts
from .references import check_references


def check(parts: Parts, notes: Notes) -> None:
    """Look at everything that is stored, and note what is wrong.

    Reading transactions are short, but for one over the references; memory holds one gradient,
    or one piece of a basis's file, at a time.
    """
    check_references(parts, notes)
    check_bases(parts, notes)
    _check_partial_sums(parts, notes)
    check_gradients(parts, notes)


def bytes_to_read(parts: Parts) -> int:
    """Bytes that a check will read, to tell how far it is."""
    with parts.catalog.reading() as session:
        stored = select(func.sum(GradientRow.bytes)).where(GradientRow.state == "stored")
        total = int(session.scalar(stored) or 0)
        named = select(VersionRow.digest).where(live())
        for text in session.scalars(select(BasisRow.manifest).where(BasisRow.digest.in_(named))):
            manifest = BasisManifest.model_validate_json(text)
            total += sum(entry.bytes for entry in manifest.files())
    return total


def _check_partial_sums(parts: Parts, notes: Notes) -> None:
    """Read every partial sum; one that is damaged costs time, and tells of a bad disk."""
    for path in tree(parts.settings.partial_folder):
        if (digest := named_digest(path)) is None:
            continue
        try:
            verify_file(path, digest)
        except (CorruptFile, OSError):
            if path.exists():  # and was not just replaced by a further one
                name = path.relative_to(parts.settings.partial_folder)
                notes.add(
                    f"partial sum {name}",
                    "its bytes are not those that were written",
                    "look after the disk; nothing is lost, the sum begins anew by itself",
                )
        notes.looked_at["partial sums"] += 1
