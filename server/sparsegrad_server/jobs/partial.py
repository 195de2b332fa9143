"""Partial Gram matrices on disk, so that a job goes on where another one stopped.

::

    <folder>/<group>/<gradients>-<SHA-256>.safetensors

A file holds `A_in`, `A_out` and `energy` (float64), and in its metadata the counts and the
lineage of the gradients in it: the first so many of those that are stored, rising by index. Its
name holds its digest. A file that is damaged, or of other gradients, is passed over, and the sum
begins anew from the gradients: it is a saving of time and never the only copy of anything.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsegrad_shared.digests import verify_file
from sparsegrad_shared.errors import CorruptFile
from sparsegrad_shared.framing import Frame, FrameHeader, RawTensor, header_length, parse_header

from ..catalog.tables import GradientRow
from ..hosvd import GramMatrices
from ..store.files import Staging, flush, make_folder, place, tidy
from .lineage import lineage_digest

_NAME = re.compile(r"(?P<gradients>\d+)-(?P<hex>[0-9a-f]{64})\.safetensors")
_MATRICES = ("A_in", "A_out", "energy")  # float64
_COUNTS = ("counts", "normalize")  # whole numbers, kept as text


@dataclass
class PartialSum:
    """Gram matrices of the first `gradients` stored gradients of a group."""

    gram: GramMatrices
    gradients: int = 0


@dataclass(frozen=True)
class _Candidate:
    path: Path
    gradients: int
    digest: str


class PartialSums:
    """The partial sums of one calibration.

    Args:
        folder: where they are kept.
        staging: where they are written first; on the same file system.
        warn: told of what is passed over.
    """

    def __init__(self, folder: Path, staging: Staging, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._staging = staging
        self._warn = warn

    def gradients(self, group: str) -> int:
        """How many gradients of a group are summed, as far as the name of the file tells."""
        return max((found.gradients for found in self._candidates(group)), default=0)

    def load(self, group: str, rows: Sequence[GradientRow]) -> PartialSum | None:
        """The furthest sum of the leading `rows`; None when there is no sound one."""
        for found in self._candidates(group):
            try:
                gram = _read(found, rows)
            except (CorruptFile, OSError) as error:
                # Where this server keeps its files is nothing for who reads a job's log.
                why = str(error).replace(str(found.path), found.path.name)
                self._warn(f"a partial sum of {group} is passed over, and summed anew: {why}")
            else:
                return PartialSum(gram, found.gradients)
        return None

    def save(self, group: str, rows: Sequence[GradientRow], partial: PartialSum) -> None:
        """Keep a sum of the leading `rows`; it is on disk, and older ones gone, at the end."""
        folder = self._folder / group
        make_folder(folder)
        older = self._candidates(group)
        frame = _frame(partial, lineage_digest(rows[: partial.gradients]))
        with self._staging.path() as staged:
            hasher = hashlib.sha256()
            with staged.open("xb") as file:
                for piece in frame:
                    hasher.update(piece)
                    file.write(piece)
            flush(staged)
            target = folder / f"{partial.gradients}-{hasher.hexdigest()}.safetensors"
            place(staged, target)
        for found in older:
            if found.path != target:
                tidy(found.path)

    def _candidates(self, group: str) -> list[_Candidate]:
        """Files of a group, the furthest first."""
        folder = self._folder / group
        if not folder.is_dir():
            return []
        matches = ((path, _NAME.fullmatch(path.name)) for path in folder.iterdir())
        found = [
            _Candidate(path, int(match["gradients"]), f"sha256:{match['hex']}")
            for path, match in matches
            if match is not None
        ]
        return sorted(found, key=lambda candidate: candidate.gradients, reverse=True)


def named_digest(path: Path) -> str | None:
    """The digest that the name of a partial sum holds; None for any other file."""
    match = _NAME.fullmatch(path.name)
    return None if match is None else f"sha256:{match['hex']}"


def _frame(partial: PartialSum, lineage: str) -> Frame:
    arrays = partial.gram.to_arrays()
    tensors = {
        name: RawTensor("float64", arrays[name].shape, arrays[name].data) for name in _MATRICES
    }
    counts = {name: " ".join(str(int(count)) for count in arrays[name]) for name in _COUNTS}
    return Frame(tensors, {**counts, "lineage": lineage})


def _read(found: _Candidate, rows: Sequence[GradientRow]) -> GramMatrices:
    if found.gradients > len(rows):
        raise CorruptFile(f"{found.path.name}: a sum of more gradients than the {len(rows)} stored")
    verify_file(found.path, found.digest)
    with found.path.open("rb") as file:
        prefix = file.read(8)
        header = parse_header(prefix + file.read(header_length(prefix) - len(prefix)))
    lineage = lineage_digest(rows[: found.gradients])
    if header.metadata.get("lineage") != lineage:
        raise CorruptFile(f"{found.path.name}: a sum of other gradients than those stored")
    content = np.memmap(found.path, mode="r", offset=header.header_bytes)
    matrices = {name: _tensor(content, header, name) for name in _MATRICES}
    counts = {name: np.array(header.metadata[name].split(), dtype=np.int64) for name in _COUNTS}
    return GramMatrices.from_arrays({**matrices, **counts})


def _tensor(content: NDArray[np.uint8], header: FrameHeader, name: str) -> NDArray[Any]:
    layout = header.tensors[name]
    return content[layout.begin : layout.end].view(np.float64).reshape(layout.shape)
