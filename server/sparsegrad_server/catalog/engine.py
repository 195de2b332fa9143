"""Connections to the catalog: SQLite in the data folder by default, PostgreSQL by a URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session

BUSY_SECONDS = 30  # how long a writer waits for another one before it gives up
_BEGIN = "sparsegrad_begin"  # the execution option that says how a transaction begins


class Catalog:
    """The database, and the two ways into it.

    Args:
        url: SQLAlchemy's URL of the database.
    """

    def __init__(self, url: str) -> None:
        self._reader = _connect(url)
        # A deferred transaction that reads, then writes, fails at once when another one wrote in
        # between; taking the write lock at the start makes it wait instead.
        self._writer = self._reader.execution_options(**{_BEGIN: "IMMEDIATE"})

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database, and waits for no writer."""
        with Session(self._reader, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session whose changes are on disk when it ends, or, on an error, undone.

        On SQLite there is one writer at a time: keep it short, and do no other I/O within.
        """
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def migrate(self) -> None:
        """Bring the tables to this version's form; several processes may do so at once."""
        with self._writer.connect() as connection, _free_to_rebuild(connection), connection.begin():
            command.upgrade(_alembic(connection), "head")

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._reader.dispose()


def _alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _free_to_rebuild(connection: Connection) -> Iterator[None]:
    """Let a migration on SQLite rebuild a table that others name: it can alter none in place."""
    if connection.dialect.name != "sqlite":
        yield
        return
    # Not within a transaction, where SQLite would pass over it without a word.
    driver = cast(DBAPIConnection, connection.connection.dbapi_connection)
    _hold_foreign_keys(driver, hold=False)
    try:
        yield
    finally:
        _hold_foreign_keys(driver, hold=True)


def _connect(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: DBAPIConnection, _record: object) -> None:
    # The driver's own transaction handling begins too late for BEGIN IMMEDIATE: switch it off.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # a commit is on disk when it returns
    cursor.close()
    _hold_foreign_keys(connection, hold=True)


def _hold_foreign_keys(connection: DBAPIConnection, *, hold: bool) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA foreign_keys={'ON' if hold else 'OFF'}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    how = connection.get_execution_options().get(_BEGIN, "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {how}")
