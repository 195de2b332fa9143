"""A throw-away PostgreSQL on loopback, and a database of its own for each test.

As root it is a cluster of Debian's tools (`pg_createcluster`, `pg_ctlcluster`), run by the user
`postgres`; otherwise `initdb` and `pg_ctl` make one that the user runs. It keeps its data in a
temporary folder, flushes to disk as in production, and takes connections over TCP with a
password. What a killed run has left behind goes with the next one.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from .requirements import missing

_LOOPBACK = "127.0.0.1"
_DEBIAN = "sparsegrad_"  # a cluster's name is this and the id of the process that made it
_SECONDS = 60


class Postgres(ABC):
    """A running server. Its methods block until what they say is so.

    Args:
        folder: an empty folder for all that it writes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.password = secrets.token_hex(8)
        self._create()
        self.start()

    def url(self, database: str = "postgres") -> str:
        """The address of a database, as an operator writes it."""
        user = self._superuser
        return f"postgresql://{user}:{self.password}@{_LOOPBACK}:{self.port}/{database}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new, empty database; dropped at the end, whoever is still connected."""
        name = f"test_{secrets.token_hex(8)}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run a statement of the superuser's, outside of any transaction."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    @abstractmethod
    def start(self) -> None:
        """Start it; it answers when this returns."""

    @abstractmethod
    def stop(self) -> None:
        """End it at once, as a crash does: what was committed is there at the next start."""

    @abstractmethod
    def drop(self) -> None:
        """End it and remove what it wrote."""

    @property
    @abstractmethod
    def _superuser(self) -> str: ...

    @abstractmethod
    def _create(self) -> None: ...

    @property
    def _initdb_options(self) -> list[str]:
        words = self.folder / "password"
        words.write_text(self.password)
        # initdb runs as another user when we are root; the folder's name is not to be guessed.
        words.chmod(0o644)
        return ["--auth=scram-sha-256", f"--pwfile={words}", "--no-sync"]


class DebianPostgres(Postgres):
    """A cluster of Debian's package `postgresql`, made by root."""

    _superuser = "postgres"

    def start(self) -> None:
        """Start it."""
        self._control("start")

    def stop(self) -> None:
        """End it at once."""
        self._control("stop", "--mode=immediate")

    def drop(self) -> None:
        """End it and remove its configuration and data."""
        _drop_debian(self._version, self._name, self.folder)

    def _create(self) -> None:
        _sweep_debian()
        self._version = _debian_version()
        self._name = f"{_DEBIAN}{os.getpid()}_{secrets.token_hex(2)}"
        # The user `postgres` has to come through to its own folder below.
        self.folder.chmod(0o711)
        place = [f"--datadir={self.folder / 'data'}", f"--logfile={self.folder / 'log'}"]
        what = [f"--port={self.port}", "--encoding=UTF8", "--locale=C.UTF-8"]
        cluster = ["pg_createcluster", *place, *what, self._version, self._name]
        _run(*cluster, "--", *self._initdb_options)

    def _control(self, action: str, *options: str) -> None:
        redirect = "--skip-systemctl-redirect"
        _run("pg_ctlcluster", redirect, self._version, self._name, action, *options)


class PlainPostgres(Postgres):
    """A server that `initdb` and `pg_ctl` make; they refuse root."""

    _superuser = "tests"

    def start(self) -> None:
        """Start it."""
        where = f"-p {self.port} -c listen_addresses={_LOOPBACK} -k {self.folder}"
        _run(
            *self._control, "start", "--wait", f"--log={self.folder / 'log'}", f"--options={where}"
        )

    def stop(self) -> None:
        """End it at once."""
        _run(*self._control, "stop", "--mode=immediate")

    def drop(self) -> None:
        """End it and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder)

    def _create(self) -> None:
        what = [f"--pgdata={self.folder / 'data'}", "--encoding=UTF8", "--locale=C"]
        _run(_program("initdb"), *what, f"--username={self._superuser}", *self._initdb_options)

    @property
    def _control(self) -> list[str]:
        return [_program("pg_ctl"), f"--pgdata={self.folder / 'data'}"]


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server for as long as the context lasts.

    Skips the test where there can be none, or fails it where one is required.
    """
    debian = os.geteuid() == 0
    if not (shutil.which("pg_ctlcluster") if debian else _program("initdb")):
        missing("postgresql", "install Debian's package postgresql, or put initdb on the PATH")
    folder = Path(tempfile.mkdtemp(prefix="sparsegrad-postgres-"))
    try:
        server = (DebianPostgres if debian else PlainPostgres)(folder)
    except subprocess.CalledProcessError as error:
        shutil.rmtree(folder, ignore_errors=True)
        missing("postgresql", f"{error.cmd[0]} failed: {error.output}")
    try:
        yield server
    finally:
        server.drop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for this process's tests."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """The URL of an empty PostgreSQL database for this test alone."""
    with postgres.database() as url:
        yield url


def _program(name: str) -> str:
    """A program of PostgreSQL's, which Debian keeps off the PATH; "" when there is none."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or str(debian[-1] if debian else "")


def _debian_version() -> str:
    return max(path.name for path in Path("/usr/lib/postgresql").iterdir())


def _drop_debian(version: str, name: str, folder: Path) -> None:
    _run("pg_dropcluster", "--stop", version, name)
    shutil.rmtree(folder, ignore_errors=True)


def _sweep_debian() -> None:
    """Drop the clusters of test runs that were killed."""
    for line in _run("pg_lsclusters", "--no-header").splitlines():
        version, name, _port, _status, _owner, data, *_ = line.split()
        process = re.fullmatch(rf"{_DEBIAN}(\d+)_\w+", name)
        if process and not Path("/proc", process[1]).exists():
            with suppress(subprocess.CalledProcessError):  # another run was quicker
                _drop_debian(version, name, Path(data).parent)


def _run(*command: str) -> str:
    # Into a file: a server inherits what its starter writes to, and would hold a pipe open.
    with tempfile.TemporaryFile("w+") as said:
        try:
            subprocess.run(
                command, stdout=said, stderr=subprocess.STDOUT, check=True, timeout=_SECONDS
            )
        except subprocess.CalledProcessError as error:
            said.seek(0)
            error.output = said.read()
            raise
        said.seek(0)
        return said.read()


def _free_port() -> int:
    with socket.create_server((_LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])
