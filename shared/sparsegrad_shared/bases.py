"""A published basis, as client and server speak of it.

A basis is a manifest and the files it lists. Its identity is the digest of the manifest's
canonical bytes; the manifest holds each file's digest, so one digest stands for all of it. What
differs between two runs on the same gradients (time, calibration, name, version) is not in the
manifest, so the same gradients give the same basis.

A group's file holds `U` (d_in × rank_in) and `V` (d_out × rank_out) in float32, orthonormal
columns by falling eigenvalue, and `eigenvalues_in`, `eigenvalues_out` in float64.
"""

from __future__ import annotations

import hashlib
import json
import math
from datetime import datetime
from statistics import fmean
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from .calibrations import (
    MAX_GROUPS,
    MAX_LAYERS,
    Answer,
    DatasetSource,
    HosvdOptions,
    LayerPath,
    Model,
    ModelSource,
    Several,
)
from .errors import CorruptFile, UnknownGroup
from .references import Digest, QualifiedName, Segment

MANIFEST_FILE = "manifest.json"
REPORT_FILE = "report.json"
BASIS_TENSORS = ("U", "V", "eigenvalues_in", "eigenvalues_out")


def basis_file(group: str) -> str:
    """The name of a group's file."""
    return f"{group}.safetensors"


class FileEntry(Model):
    """A file of a basis: its name in the basis's folder, and what its bytes are."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$")]
    digest: Digest
    bytes: int = Field(ge=0)


class BasisGroup(Model):
    """One group of a basis.

    Attributes:
        name: the group's name.
        layers: paths of its layers in the model.
        d_out: rows of a weight.
        d_in: columns of a weight.
        rank_out: columns of V.
        rank_in: columns of U.
        gradients: gradients it was fitted on.
        zero_gradients: how many of them were zero throughout.
        held_out: gradients it was judged on.
        gradients_digest: digest over the digests of all its gradients, by index.
        file: where U, V and the eigenvalues are.
    """

    name: Segment
    layers: Annotated[Several[LayerPath], Field(max_length=MAX_LAYERS)]
    d_out: int
    d_in: int
    rank_out: int
    rank_in: int
    gradients: int
    zero_gradients: int
    held_out: int
    gradients_digest: Digest
    file: FileEntry


class BasisManifest(Model):
    """What a basis is: its lineage, its groups, its files.

    Attributes:
        format: of the manifest.
        model: whose gradients they were.
        dataset: on what.
        options: of the decomposition.
        groups: by name; each has a file of its own.
        report: the file that says how good it is.
    """

    format: Literal[1] = 1
    model: ModelSource
    dataset: DatasetSource
    options: HosvdOptions
    groups: Annotated[Several[BasisGroup], Field(max_length=MAX_GROUPS)]
    report: FileEntry

    def canonical_bytes(self) -> bytes:
        """The bytes whose digest is the basis's identity: JSON, keys sorted, no white space."""
        return json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True
        ).encode()

    def digest(self) -> str:
        """The basis's identity."""
        return f"sha256:{hashlib.sha256(self.canonical_bytes()).hexdigest()}"

    @classmethod
    def from_canonical_bytes(cls, content: bytes, digest: str) -> BasisManifest:
        """Read a manifest and hold it to its digest.

        Raises:
            CorruptFile: when it is not a manifest, or not the one of that digest.
        """
        found = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if found != digest:
            raise CorruptFile(f"{MANIFEST_FILE}: expected {digest}, found {found}")
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise CorruptFile(f"{MANIFEST_FILE}: not a manifest of format 1: {error}") from None

    def group(self, name: str) -> BasisGroup:
        """The group of that name.

        Raises:
            UnknownGroup: when there is none; names those that there are.
        """
        for group in self.groups:
            if group.name == name:
                return group
        known = ", ".join(group.name for group in self.groups)
        raise UnknownGroup(f"no group {name!r}; the basis has {known}")

    def files(self) -> tuple[FileEntry, ...]:
        """Every file of the basis but the manifest."""
        return (*(group.file for group in self.groups), self.report)


class PublishedVersion(Answer):
    """A version under a name, and the basis that it is."""

    name: QualifiedName
    version: int = Field(ge=1)
    digest: Digest

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


class VersionMarks(PublishedVersion):
    """A version, and what people have put on it.

    Attributes:
        tags: words that it can be found by, in order.
        pinned: whether it cannot be deleted.
    """

    tags: tuple[Segment, ...] = ()
    pinned: bool = False


class BasisVersion(VersionMarks):
    """A version with all that is known of it."""

    created: datetime
    created_by: str = Field(default="", description="the name of the token that published it")
    calibration: Segment | None = Field(description="where it was computed; none when imported")
    aliases: tuple[Segment, ...] = ()
    manifest: BasisManifest


class BasisList(Answer):
    """A page of the answer to a search; newest first."""

    bases: tuple[BasisVersion, ...]
    next: str | None = Field(default=None, description="`after` of the next page, if there is one")


class ImportStatus(Answer):
    """How far an import has come.

    Attributes:
        digest: the basis's identity.
        missing: files that have to be sent.
        version: what it was published as, once nothing is missing.
    """

    digest: Digest
    missing: tuple[FileEntry, ...]
    version: PublishedVersion | None


class GroupDifference(Answer):
    """How far two bases lie apart in one group.

    Attributes:
        name: the group's name.
        rank_in: leading columns of U that were compared.
        rank_out: leading columns of V that were compared.
        angles_in: principal angles between the leading columns of U, radians, rising.
        angles_out: the same for V.
    """

    name: Segment
    rank_in: int
    rank_out: int
    angles_in: tuple[float, ...]
    angles_out: tuple[float, ...]

    @property
    def shared_in(self) -> float:
        """Share of the input subspace that both have: the mean cos² of the angles."""
        return _mean_squared_cosine(self.angles_in)

    @property
    def shared_out(self) -> float:
        """Share of the output subspace that both have."""
        return _mean_squared_cosine(self.angles_out)


class BasisDifference(Answer):
    """Principal angles between the leading subspaces of two bases, group by group."""

    a: Digest
    b: Digest
    groups: tuple[GroupDifference, ...]


def _mean_squared_cosine(angles: tuple[float, ...]) -> float:
    return fmean(math.cos(angle) ** 2 for angle in angles)
