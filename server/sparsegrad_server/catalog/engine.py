"""Connections to the catalog: SQLite in the data folder by default, PostgreSQL by a URL.

On SQLite there is one writer at a time. On PostgreSQL writers run side by side (READ COMMITTED),
so whoever decides from a row locks it first; SQLite passes over these locks. They are taken in
one order, so that no two transactions wait for one another:

1. the calibration: uploads share it, its finish and its expiry take it alone;
2. slots; an expiry, which no upload runs beside, after the jobs;
3. jobs, those of one calibration together; who says a line for one has it locked;
4. the namespace, alone: its quota, and all that its names mean (versions, aliases, tags, pins);
5. the row of a basis, which whoever names the basis shares, and its removal takes alone;
6. the sums over the phases of jobs.

A row that two transactions may insert at once goes through `inserting`. A `reading()` session
locks nothing, and PostgreSQL refuses it any lock.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from sparsegrad_shared.errors import InvalidInput

BUSY_SECONDS = 30  # how long a writer waits for another one before it gives up
_AGAIN_SECONDS = 0.05  # between two attempts where SQLite does not wait by itself
# libpq's: a host that is gone without a word is given up within a minute, not within many.
_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # milliseconds
}
CONNECTIONS = 40  # at most; as many as there are threads that answer requests
_KEPT = 5  # connections that stay open when nothing happens
_POOL = {"pool_size": _KEPT, "max_overflow": CONNECTIONS - _KEPT}
_MIGRATION = 0x5BA5E6AD  # the key of PostgreSQL's advisory lock; any number, but always this one
_BEGIN = "sparsegrad_begin"  # the execution option that says how a transaction begins


class Catalog:
    """The database, and the two ways into it.

    Args:
        url: SQLAlchemy's URL of the database, `sqlite:///…` or `postgresql://…`.

    Raises:
        InvalidInput: when the URL cannot be read, or is of another kind of database.
    """

    def __init__(self, url: str) -> None:
        parsed = _parse(url)
        reading: dict[str, Any] = {}
        writing: dict[str, Any] = {}
        if parsed.get_backend_name() == "sqlite":
            self._engine = _sqlite(parsed)
            # A deferred transaction that reads, then writes, fails at once when another one wrote
            # in between; taking the write lock at the start makes it wait instead.
            writing = {_BEGIN: "IMMEDIATE"}
        else:
            self._engine = _postgresql(parsed)
            reading = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reader = self._engine.execution_options(**reading)
        self._writer = self._engine.execution_options(**writing)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database, and waits for no writer."""
        with Session(self._reader, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session whose changes are on disk when it ends, or, on an error, undone.

        On SQLite there is one writer at a time: keep it short, and do no other I/O within. On
        PostgreSQL there are many: lock what you decide from, in the order given above.
        """
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def migrate(self) -> None:
        """Bring the tables to this version's form; several processes may do so at once.

        Raises:
            InvalidInput: when a newer version of this program has changed them.
        """
        with self._writer.connect() as connection, _free_to_rebuild(connection), connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION)))
            try:
                command.upgrade(_alembic(connection), "head")
            except CommandError as error:  # a revision that this program does not have
                raise InvalidInput(
                    f"the catalog was made by a newer version of sparsegrad-server ({error}): "
                    "run that version, or one after it"
                ) from None

    def is_current(self) -> bool:
        """Whether the tables have this version's form; nothing is changed."""
        with self._reader.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
            return found == ScriptDirectory.from_config(_alembic(connection)).get_current_head()

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._engine.dispose()


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


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidInput(
            "catalog_url: expected SQLAlchemy's URL of a database, such as "
            "postgresql://user:password@host/database; what came cannot be read"
        ) from None
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise InvalidInput(f"catalog_url: expected sqlite:/// or postgresql://; got {backend}://")
    return parsed


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, **_POOL)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql(url: URL) -> Engine:
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,  # a connection that died while it lay idle is replaced without a word
        connect_args=_PATIENCE,
        **_POOL,
    )
    event.listen(engine, "connect", _configure_postgresql)
    return engine


def _configure_postgresql(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET lock_timeout = '{BUSY_SECONDS}s'")
    cursor.close()
    connection.commit()  # or the setting would go with the first transaction that is undone


def _configure_sqlite(connection: DBAPIConnection, _record: object) -> None:
    # The driver's own transaction handling begins too late for BEGIN IMMEDIATE: switch it off.
    connection.isolation_level = None
    cursor = connection.cursor()
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous=FULL")  # a commit is on disk when it returns
    cursor.close()
    _hold_foreign_keys(connection, hold=True)


def _write_ahead(cursor: DBAPICursor) -> None:
    """Have a new file keep a write-ahead log, which stays so; in an old one this changes nothing.

    The switch turns a lock that it holds into a greater one. Where two processes do so at once,
    waiting could last for ever: SQLite refuses instead, whatever its time-out.
    """
    ends = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # extended codes lie above
            if not busy or time.monotonic() >= ends:
                raise
            time.sleep(_AGAIN_SECONDS)
        else:
            return


def _hold_foreign_keys(connection: DBAPIConnection, *, hold: bool) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA foreign_keys={'ON' if hold else 'OFF'}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    how = connection.get_execution_options().get(_BEGIN, "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {how}")
