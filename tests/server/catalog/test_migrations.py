"""From the first schema on: a catalog that was filled long ago comes to today's form, whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, create_engine, insert, select, text
from sqlalchemy.exc import IntegrityError
from support.bases import made

import sparsegrad_server.catalog.migrations
from sparsegrad_server.catalog import Catalog, bases, calibrations, gradients, namespaces
from sparsegrad_server.catalog import jobs as job_rows
from sparsegrad_server.catalog.tables import (
    AliasRow,
    BasisGroupRow,
    BasisRow,
    CalibrationRow,
    GradientRow,
    Table,
    TokenRow,
    VersionRow,
)
from sparsegrad_shared.references import BasisReference

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MADE = made(0)
MANIFEST = MADE.manifest
CALIBRATION = {
    "name": "team/tiny",
    "model": {"id": "tiny", "architecture": "TinyModel"},
    "dataset": {"id": "data", "fingerprint": "1"},
    "groups": [
        {"name": "up", "layers": ["a"], "d_out": 6, "d_in": 4, "dtype": "float32", "gradients": 5}
    ],
}


def calibration(number: int, namespace: str) -> dict[str, Any]:
    return {
        "id": f"cal-{number}",
        "namespace": namespace,
        "name": "tiny",
        "manifest": json.dumps(CALIBRATION | {"name": f"{namespace}/tiny"}),
        "state": "finished",
        "created": NOW,
        "created_by": f"person {number}",
        "job_id": f"job-{number}",
    }


def gradient(number: int, slot: int, state: str, size: int) -> dict[str, Any]:
    return {
        "calibration_id": f"cal-{number}",
        "group_name": "up",
        "slot": slot,
        "state": state,
        "digest": f"sha256:{slot}",
        "form": "dense",
        "zero": False,
        "bytes": size,
        "count": 1,
        "zero_count": 0,
        "reserved_by": "upload",
        "reserved_until": NOW,
    }


def job(number: int) -> dict[str, Any]:
    return {
        "id": f"job-{number}",
        "calibration_id": f"cal-{number}",
        "kind": "publish",
        "state": "done",
        "phase": "done",
        "completed": 1,
        "total": 1,
        "worker": None,
        "fence": 3,
        "leased_until": None,
        "attempts": 1,
        "error": None,
        "version": 1,
        "created": NOW,
        "updated": NOW,
    }


def version(number: int, namespace: str) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "name": "tiny",
        "version": 1,
        "digest": MANIFEST.digest(),
        "calibration_id": f"cal-{number}",
        "created": NOW,
    }


ALIAS = {"namespace": "team", "name": "tiny", "alias": "prod", "version": 1}

# What a catalog of the first schema held: two namespaces that published the same content, and one
# that has not sent anything yet. Each table's rows stand after those that they name.
FIRST: Mapping[str, list[dict[str, Any]]] = {
    "calibrations": [calibration(1, "team"), calibration(2, "rivals"), calibration(3, "idle")],
    "bases": [
        {
            "digest": MANIFEST.digest(),
            "manifest": MANIFEST.canonical_bytes().decode(),
            "created": NOW,
        }
    ],
    "gradients": [
        gradient(1, 0, "stored", 100),
        gradient(1, 1, "writing", 30),
        gradient(2, 0, "stored", 7),
    ],
    "jobs": [job(1), job(2)],
    "versions": [version(1, "team"), version(2, "rivals")],
    "aliases": [ALIAS],
    "alias_changes": [ALIAS | {"id": "change-1", "changed": NOW, "changed_by": "person 1"}],
    "tokens": [
        {
            "id": "tok-1",
            "name": "ci",
            "hash": "0" * 64,
            "namespace": "team",
            "scope": "write",
            "created": NOW,
            "expires": None,
            "revoked": None,
        }
    ],
}


def upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    folder = Path(sparsegrad_server.catalog.migrations.__file__).parent
    config.set_main_option("script_location", str(folder))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


@pytest.fixture
def first(catalog_url: str) -> str:
    """A database of the first schema, with rows in every table."""
    engine = create_engine(catalog_url)
    with engine.begin() as connection:
        upgrade(connection, "0001")
        schema = MetaData()
        schema.reflect(connection)
        assert schema.tables.keys() == {*FIRST, "alembic_version"}
        for name, rows in FIRST.items():
            connection.execute(insert(schema.tables[name]), rows)
    engine.dispose()
    return catalog_url


@pytest.fixture
def migrated(first: str) -> Iterator[Catalog]:
    catalog = Catalog(first)
    catalog.migrate()
    catalog.migrate()  # a second time changes nothing
    yield catalog
    catalog.close()


def test_migrations_lead_to_the_tables_of_the_code(catalog: Catalog, catalog_url: str) -> None:
    engine = create_engine(catalog_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []
    engine.dispose()


def test_a_filled_catalog_comes_to_the_same_tables(migrated: Catalog, first: str) -> None:
    engine = create_engine(first)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []
    engine.dispose()


def test_every_row_is_still_there_as_it_was(migrated: Catalog, first: str) -> None:
    engine = create_engine(first)
    with engine.connect() as connection:
        schema = MetaData()
        schema.reflect(connection)
        for name, before in FIRST.items():
            table = schema.tables[name]
            after = [dict(row) for row in connection.execute(select(table)).mappings()]
            assert len(after) == len(before), name
            for row in before:
                same = {column: value for column, value in row.items() if value is not NOW}
                assert any(same.items() <= found.items() for found in after), (name, row)
    engine.dispose()
    with migrated.reading() as session:
        times = {session.get_one(CalibrationRow, f"cal-{number}").created for number in (1, 2, 3)}
    assert times == {NOW}


def test_what_was_added_says_what_the_rows_said_before(migrated: Catalog) -> None:
    with migrated.reading() as session:
        held = {name: namespaces.bytes_held(session, name) for name in ("team", "rivals", "idle")}
        assert held == {"team": 130, "rivals": 7, "idle": 0}
        basis = session.get_one(BasisRow, MANIFEST.digest())
        assert (basis.model, basis.dataset) == (MANIFEST.model.id, MANIFEST.dataset.id)
        groups = session.scalars(select(BasisGroupRow)).all()
        assert {(row.digest, row.name, row.d_out, row.d_in) for row in groups} == {
            (MANIFEST.digest(), group.name, group.d_out, group.d_in) for group in MANIFEST.groups
        }
        for number, namespace in ((1, "team"), (2, "rivals")):
            row = session.get_one(VersionRow, (namespace, "tiny", 1))
            assert (row.created_by, row.pinned, row.deleted) == (f"person {number}", False, None)
        assert session.get_one(AliasRow, ("team", "tiny", "prod")).protected is False
        assert session.get_one(CalibrationRow, "cal-1").expires is None
        assert session.get_one(TokenRow, "tok-1").last_used is None
        assert {row.header for row in session.scalars(select(GradientRow))} == {None}


def test_the_catalog_works_as_if_it_had_always_been_so(migrated: Catalog) -> None:
    with migrated.reading() as session:
        reference = BasisReference("team", "tiny", alias="prod")
        assert bases.resolve(session, reference, "team").version == 1
        assert job_rows.status(session, *job_rows.get(session, "job-1")).basis is not None
        status = calibrations.status(session, calibrations.get(session, "cal-1"))
        assert status.groups[0].arrived == (0,)
    with migrated.writing() as session:
        again = bases.add_version(session, MANIFEST, "team", "tiny", by="ci", now=NOW)
        assert again.version == 1
        other = bases.add_version(session, made(1).manifest, "team", "tiny", by="ci", now=NOW)
        assert other.version == 2
        gradients.release(session, gradients.Slot("cal-1", "up", 1), "upload")
    with migrated.reading() as session:
        assert namespaces.bytes_held(session, "team") == 100


def test_foreign_keys_are_intact_and_hold(migrated: Catalog, first: str) -> None:
    with migrated.reading() as session:
        if first.startswith("sqlite"):
            assert session.execute(text("PRAGMA foreign_key_check")).all() == []
            assert session.scalar(text("PRAGMA foreign_keys")) == 1
    for table in ("calibrations", "bases", "versions"):
        with pytest.raises(IntegrityError), migrated.writing() as session:
            session.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - one of three words
