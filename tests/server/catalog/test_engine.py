"""Transactions: one writer at a time, readers that never wait, tables as the code has them."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError
from support.gradient_stores import group_spec, manifest_of

from sparsegrad_server.catalog import Catalog, calibrations
from sparsegrad_server.catalog.tables import CalibrationRow, Table

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MANIFEST = manifest_of(group_spec())


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    Catalog(url).migrate()
    return url


def test_migrations_lead_to_the_tables_of_the_code(url: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
    engine.dispose()


def test_processes_that_migrate_at_once_do_not_meet(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    code = (
        "import sys; from sparsegrad_server.catalog import Catalog; Catalog(sys.argv[1]).migrate()"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    with Catalog(url).reading() as session:
        assert session.scalars(text("SELECT count(*) FROM alembic_version")).one() == 1


def test_a_commit_is_flushed_to_disk(url: str) -> None:
    with Catalog(url).writing() as session:
        assert session.scalars(text("PRAGMA journal_mode")).one() == "wal"
        assert session.scalars(text("PRAGMA synchronous")).one() == 2  # FULL


def test_a_reader_neither_waits_for_a_writer_nor_sees_its_half(url: str) -> None:
    catalog = Catalog(url)
    with catalog.writing() as writer:
        calibrations.add(writer, "cal-1", MANIFEST, "ci", NOW)
        with catalog.reading() as reader:
            assert reader.get(CalibrationRow, "cal-1") is None
    with catalog.reading() as reader:
        assert calibrations.manifest_of(calibrations.get(reader, "cal-1")) == MANIFEST


def test_an_error_undoes_the_whole_transaction(url: str) -> None:
    catalog = Catalog(url)

    def twice() -> None:
        with catalog.writing() as session:
            calibrations.add(session, "cal-1", MANIFEST, "ci", NOW)
            session.execute(text("INSERT INTO calibrations SELECT * FROM calibrations"))

    with pytest.raises(IntegrityError):
        twice()
    with catalog.reading() as session:
        assert session.get(CalibrationRow, "cal-1") is None


def test_writers_that_read_first_lose_no_update(url: str) -> None:
    catalog = Catalog(url)
    with catalog.writing() as session:
        calibrations.add(session, "cal-1", MANIFEST, "0", NOW)

    def increment(_number: int) -> None:
        with catalog.writing() as session:
            row = calibrations.get(session, "cal-1")
            row.created_by = str(int(row.created_by) + 1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(increment, range(40)))
    with catalog.reading() as session:
        assert calibrations.get(session, "cal-1").created_by == "40"
