"""Digests in both spellings."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_shared.digests import (
    content_digest,
    digest_of,
    digest_of_file,
    parse_content_digest,
    verify_file,
)
from sparsegrad_shared.errors import CorruptFile, InvalidInput


@given(st.lists(st.binary()))
def test_a_digest_does_not_depend_on_how_the_bytes_are_cut(pieces: list[bytes]) -> None:
    assert digest_of(pieces) == f"sha256:{hashlib.sha256(b''.join(pieces)).hexdigest()}"


@given(st.binary())
def test_a_content_digest_is_read_back(content: bytes) -> None:
    digest = digest_of([content])
    assert parse_content_digest(content_digest(digest)) == digest
    assert parse_content_digest(f"md5=:AAAA:, {content_digest(digest)}") == digest


@pytest.mark.parametrize(
    "header", ["", "sha-256=abc", "sha-256=:abc:", "sha-512=:AAAA:", "sha-256=:" + "A" * 44 + ":"]
)
def test_a_header_without_a_sha_256_is_refused(header: str) -> None:
    with pytest.raises(InvalidInput, match="Content-Digest"):
        parse_content_digest(header)


def test_a_changed_file_is_named_with_both_digests(tmp_path: Path) -> None:
    path = tmp_path / "U.safetensors"
    path.write_bytes(b"as written")
    digest = digest_of_file(path)
    verify_file(path, digest)
    path.write_bytes(b"as changed")
    with pytest.raises(CorruptFile, match=f"U.safetensors.*{digest}.*{digest_of_file(path)}"):
        verify_file(path, digest)


def test_a_missing_file_is_corrupt_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(CorruptFile, match="missing"):
        verify_file(tmp_path / "absent", "sha256:" + "0" * 64)
