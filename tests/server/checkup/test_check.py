"""check finds each kind of damage, by name, and nothing where nothing is wrong."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text, update
from support.litter import GROUP, Litter, collected, parts_of, scatter
from support.object_storage import Bucket
from support.workbench import Workbench, decaying

from sparsegrad_server.catalog.tables import GradientRow
from sparsegrad_server.checkup.check import bytes_to_read, check
from sparsegrad_server.checkup.findings import Finding, Notes
from sparsegrad_server.store.objects import StorageUnreachable


@pytest.fixture
def local(tmp_path: Path) -> Litter:
    """On disk, where a test can reach into files."""
    return scatter(Workbench(tmp_path / "data"))


def look(litter: Litter) -> list[Finding]:
    findings, notes = collected()
    check(parts_of(litter.bench), notes)
    assert notes.findings == len(findings)
    return findings


def test_where_nothing_is_wrong_nothing_is_found_and_every_gradient_is_hashed(
    litter: Litter,
) -> None:
    findings, notes = collected()
    check(parts_of(litter.bench), notes)
    assert findings == []
    stored = len(litter.named())
    assert notes.looked_at["gradients"] == notes.looked_at["gradients by digest"] == stored
    assert notes.looked_at["bases"] == 1  # but not the one whose version was deleted


def test_the_bytes_that_were_read_are_those_that_were_announced(litter: Litter) -> None:
    read: list[int] = []
    parts = parts_of(litter.bench)
    check(parts, Notes(lambda finding: None, read.append))
    assert sum(read) == bytes_to_read(parts)


def test_a_row_of_the_first_schema_is_checked_by_our_clients_header_or_by_checksum(
    litter: Litter,
) -> None:
    with litter.bench.catalog.writing() as session:
        session.execute(update(GradientRow).values(header=None))
        other = update(GradientRow).where(GradientRow.calibration_id == litter.kept)
        session.execute(other.where(GradientRow.index == 0).values(digest=f"sha256:{'0' * 64}"))
    findings, notes = collected()
    check(parts_of(litter.bench), notes)
    assert findings == []
    assert notes.looked_at["gradients by checksum"] == 1


def test_a_gradient_that_lies_in_the_wrong_slot_is_found(litter: Litter) -> None:
    # Its checksum is right, and its shape: only the digest tells.
    litter.bench.gradients.write(litter.kept, GROUP, 1, decaying(2))
    (finding,) = look(litter)
    assert f"{litter.kept}, gradient up/1" in finding.where
    assert "expected sha256:" in finding.what


def test_a_gradient_that_is_gone_is_found(litter: Litter) -> None:
    litter.bench.gradients.discard(litter.kept, GROUP.name, 3, "dense")
    (finding,) = look(litter)
    assert f"{litter.kept}, gradient up/3" in finding.where
    assert "missing" in finding.what
    assert "copy" in finding.todo


@pytest.mark.parametrize(
    ("statement", "where", "what"),
    [
        ("UPDATE namespaces SET bytes = bytes + 1", "namespace team", "quota"),
        ("UPDATE calibrations SET job_id = NULL WHERE id = :kept", "calibration cal", "no job"),
        ("UPDATE calibrations SET state = 'odd' WHERE id = :kept", "calibration cal", "odd"),
        ("UPDATE jobs SET version = 7 WHERE calibration_id = :kept", "job", "version"),
        ("UPDATE versions SET deleted = created", "alias team/kept:production", "deleted"),
        ("UPDATE bases SET model = 'x' WHERE digest = :digest", "basis sha256", "searches"),
        ("UPDATE basis_groups SET d_in = 1 WHERE digest = :digest", "basis sha256", "searches"),
        ("UPDATE bases SET manifest = '{}' WHERE digest = :digest", "basis sha256", "manifest"),
    ],
)
def test_rows_that_do_not_agree_are_found(
    local: Litter, statement: str, where: str, what: str
) -> None:
    with local.bench.catalog.writing() as session:
        session.connection().execute(text(statement), {"kept": local.kept, "digest": local.digest})
    findings = look(local)
    assert any(where in found.where and what in found.what for found in findings), findings


def _flip(path: Path, place: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_bit_that_has_turned_in_a_gradient_is_found(local: Litter) -> None:
    folder = local.bench.settings.gradients_folder / local.kept / GROUP.name / "dense"
    _flip(folder / "c.2.0.0", place=30)
    (finding,) = look(local)
    assert f"{local.kept}, gradient up/2" in finding.where


@pytest.mark.parametrize("name", ["manifest.json", "report.json", "up.safetensors"])
@pytest.mark.parametrize("damage", [_flip, Path.unlink])
def test_a_file_of_a_basis_that_is_damaged_or_gone_is_found(
    local: Litter, name: str, damage: Callable[[Path], None]
) -> None:
    damage(local.bench.bases.file(local.digest, name))
    (finding,) = look(local)
    assert local.digest in finding.where
    assert "team/kept@1" in finding.where
    assert name in finding.what


def test_a_partial_sum_that_is_damaged_is_found_and_no_loss(local: Litter) -> None:
    local.bench.store_all(local.busy, GROUP, range(2, GROUP.gradients))
    local.bench.work()
    (path,) = local.bench.settings.partial_folder.glob(f"{local.busy}/sums/*/*")
    _flip(path)
    (finding,) = look(local)
    assert path.name in finding.where
    assert "nothing is lost" in finding.todo


def test_a_row_that_names_one_which_is_not_there_is_found(local: Litter) -> None:
    # A connection of ours would refuse this; a plain one looks away.
    with sqlite3.connect(local.bench.settings.data / "catalog.sqlite") as database:
        database.execute("DELETE FROM versions WHERE name = 'kept'")
    database.close()
    findings = look(local)
    assert any(found.where == "aliases" and "versions" in found.what for found in findings)
    assert any(found.where.startswith("job ") for found in findings)


def test_a_store_that_is_away_ends_the_check_and_accuses_no_gradient(
    tmp_path: Path, bucket: Bucket
) -> None:
    litter = scatter(Workbench(tmp_path / "data", **bucket.settings))
    bucket.remove()
    findings, notes = collected()
    with pytest.raises(StorageUnreachable, match="NoSuchBucket"):
        check(parts_of(litter.bench), notes)
    assert findings == []
