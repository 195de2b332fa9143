"""The manifest of a basis and its identity."""

from __future__ import annotations

import pytest

from sparsegrad_shared.bases import BasisGroup, BasisManifest, FileEntry
from sparsegrad_shared.calibrations import DatasetSource, HosvdOptions, ModelSource
from sparsegrad_shared.errors import CorruptFile, UnknownGroup

DIGEST = "sha256:" + "0" * 64
MANIFEST = BasisManifest(
    model=ModelSource(id="tiny", architecture="BertModel"),
    dataset=DatasetSource(id="text", fingerprint="f"),
    options=HosvdOptions(),
    groups=(
        BasisGroup(
            name="intermediate",
            layers=("encoder.layer.0.intermediate.dense",),
            d_out=8,
            d_in=4,
            rank_out=8,
            rank_in=4,
            gradients=30,
            zero_gradients=0,
            held_out=3,
            gradients_digest=DIGEST,
            file=FileEntry(name="intermediate.safetensors", digest=DIGEST, bytes=100),
        ),
    ),
    report=FileEntry(name="report.json", digest=DIGEST, bytes=10),
)


def test_a_manifest_is_read_back_and_keeps_its_digest() -> None:
    content = MANIFEST.canonical_bytes()
    again = BasisManifest.from_canonical_bytes(content, MANIFEST.digest())
    assert again == MANIFEST
    assert again.canonical_bytes() == content


def test_the_digest_changes_with_any_part() -> None:
    changed = MANIFEST.model_copy(update={"options": HosvdOptions(rank=2)})
    assert changed.digest() != MANIFEST.digest()


def test_other_bytes_than_the_digest_promises_are_corrupt() -> None:
    with pytest.raises(CorruptFile, match=MANIFEST.digest()):
        BasisManifest.from_canonical_bytes(MANIFEST.canonical_bytes() + b" ", MANIFEST.digest())


def test_an_unknown_group_is_refused_with_those_that_there_are() -> None:
    assert MANIFEST.group("intermediate") is MANIFEST.groups[0]
    with pytest.raises(UnknownGroup, match="'up'.*intermediate"):
        MANIFEST.group("up")
