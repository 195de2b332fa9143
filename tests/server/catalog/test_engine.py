"""Transactions: writers that lose nothing, readers that never wait; which databases there are."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError, InternalError
from support.gradient_stores import group_spec, manifest_of

from sparsegrad_server.catalog import Catalog, calibrations
from sparsegrad_server.catalog.engine import CONNECTIONS
from sparsegrad_server.catalog.tables import CalibrationRow
from sparsegrad_shared.errors import InvalidInput

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MANIFEST = manifest_of(group_spec())


@pytest.fixture
def sqlite_catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    catalog.migrate()
    yield catalog
    catalog.close()


def test_processes_that_migrate_at_once_do_not_meet(catalog_url: str) -> None:
    code = (
        "import sys; from sparsegrad_server.catalog import Catalog; Catalog(sys.argv[1]).migrate()"
    )
    command = [sys.executable, "-c", code, catalog_url]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    engine = create_engine(catalog_url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1
    engine.dispose()


def test_a_new_file_that_somebody_writes_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    writer.execute("CREATE TABLE other (id INTEGER)")
    writer.execute("BEGIN IMMEDIATE")  # for which SQLite does not wait when it switches to a log
    catalog = Catalog(f"sqlite:///{path}")
    ending = threading.Timer(0.5, writer.execute, ["COMMIT"])
    ending.start()
    catalog.migrate()
    assert catalog.is_current()
    catalog.close()
    ending.join()
    writer.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://user:secret@host/catalog", "got mysql://"),
        ("where?", "cannot be read"),
    ],
)
def test_another_kind_of_database_is_refused_without_telling_the_password(
    url: str, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        Catalog(url)
    assert "secret" not in refused.value.message


def test_a_catalog_of_a_newer_version_is_refused_and_left_alone(catalog: Catalog) -> None:
    with catalog.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InvalidInput, match="newer version"):
        catalog.migrate()
    with catalog.reading() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


def test_a_reader_sees_one_state_and_can_neither_write_nor_lock(postgres_url: str) -> None:
    catalog = Catalog(postgres_url)
    catalog.migrate()
    with catalog.reading() as reader:
        assert reader.get(CalibrationRow, "cal-1") is None
        with catalog.writing() as writer:
            calibrations.add(writer, "cal-1", MANIFEST, "ci", NOW)
        assert reader.get(CalibrationRow, "cal-1") is None
    for attempt in (
        lambda session: calibrations.share(session, "cal-1"),
        lambda session: session.execute(text("DELETE FROM calibrations")),
    ):
        with pytest.raises(InternalError, match="read-only"), catalog.reading() as session:
            attempt(session)
    catalog.close()


def test_a_commit_is_flushed_to_disk(sqlite_catalog: Catalog) -> None:
    with sqlite_catalog.writing() as session:
        assert session.scalars(text("PRAGMA journal_mode")).one() == "wal"
        assert session.scalars(text("PRAGMA synchronous")).one() == 2  # FULL


def test_a_reader_neither_waits_for_a_writer_nor_sees_its_half(catalog: Catalog) -> None:
    with catalog.writing() as writer:
        calibrations.add(writer, "cal-1", MANIFEST, "ci", NOW)
        with catalog.reading() as reader:
            assert reader.get(CalibrationRow, "cal-1") is None
    with catalog.reading() as reader:
        assert calibrations.manifest_of(calibrations.get(reader, "cal-1")) == MANIFEST


def test_as_many_threads_as_answer_requests_read_at_once(catalog: Catalog) -> None:
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            assert stack.enter_context(catalog.reading()).scalar(text("SELECT 1")) == 1


def test_an_error_undoes_the_whole_transaction(catalog: Catalog) -> None:

    def twice() -> None:
        with catalog.writing() as session:
            calibrations.add(session, "cal-1", MANIFEST, "ci", NOW)
            session.execute(text("INSERT INTO calibrations SELECT * FROM calibrations"))

    with pytest.raises(IntegrityError):
        twice()
    with catalog.reading() as session:
        assert session.get(CalibrationRow, "cal-1") is None


def test_writers_that_read_first_lose_no_update(catalog: Catalog) -> None:
    with catalog.writing() as session:
        calibrations.add(session, "cal-1", MANIFEST, "0", NOW)

    def increment(_number: int) -> None:
        with catalog.writing() as session:
            row = calibrations.take(session, "cal-1")
            row.created_by = str(int(row.created_by) + 1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(increment, range(40)))
    with catalog.reading() as session:
        assert calibrations.get(session, "cal-1").created_by == "40"
