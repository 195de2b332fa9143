"""A copied basis is there whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cached_bases import MakeBasis

from sparsegrad_client.cache import BasisCache
from sparsegrad_client.integrations.peft.basis_copy import copy_basis
from sparsegrad_shared.errors import CorruptFile


def test_a_copy_is_the_same_byte_for_byte(
    bert_basis: MakeBasis, client_home: Path, tmp_path: Path
) -> None:
    digest = bert_basis()
    copy_basis(digest, client_home / "bases", tmp_path / "copies")
    original, copied = (BasisCache(root) for root in (client_home / "bases", tmp_path / "copies"))
    for file in original.folder(digest).iterdir():
        assert copied.file(digest, file.name).read_bytes() == file.read_bytes()
    assert len(list((tmp_path / "copies").iterdir())) == 1


def test_a_damaged_basis_in_its_place_is_replaced(
    bert_basis: MakeBasis, client_home: Path, tmp_path: Path
) -> None:
    digest = bert_basis()
    copy_basis(digest, client_home / "bases", tmp_path)
    BasisCache(tmp_path).file(digest, "output.safetensors").unlink()
    BasisCache(tmp_path).file(digest, "manifest.json").write_text("{}")
    copy_basis(digest, client_home / "bases", tmp_path)
    assert BasisCache(tmp_path).is_whole(digest)


def test_a_basis_that_is_not_there_cannot_be_copied(client_home: Path, tmp_path: Path) -> None:
    digest = f"sha256:{'a' * 64}"
    with pytest.raises(CorruptFile, match="cannot be copied"):
        copy_basis(digest, client_home / "bases", tmp_path / "copies")
    assert not (tmp_path / "copies").exists()
