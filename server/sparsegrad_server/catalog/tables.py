"""The catalog's tables: everything that must be found again, but for the tensors themselves.

A row is the truth: a gradient exists when its row says `stored`, a basis when a version names it.
Files without a row are left-overs of a kill, and nothing reads them.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, always with its zone: SQLite forgets it, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Bring a time to UTC on its way into the database."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Mark a time that came out of the database as UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class Table(DeclarativeBase):
    """The base of all tables."""

    type_annotation_map = {datetime: UtcDateTime, int: BigInteger, str: String(500)}  # noqa: RUF012


class CalibrationRow(Table):
    """A calibration: its manifest, and whether it still takes gradients."""

    __tablename__ = "calibrations"

    id: Mapped[str] = mapped_column(primary_key=True)
    namespace: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    manifest: Mapped[str] = mapped_column(Text)  # CalibrationManifest as JSON
    state: Mapped[str]  # open, finished
    created: Mapped[datetime]
    created_by: Mapped[str]  # the token's name
    job_id: Mapped[str | None]  # the job that `finish` started


class GradientRow(Table):
    """A slot: reserved by one upload while it is written, then stored for good."""

    __tablename__ = "gradients"

    calibration_id: Mapped[str] = mapped_column(ForeignKey("calibrations.id"), primary_key=True)
    group: Mapped[str] = mapped_column("group_name", primary_key=True)
    index: Mapped[int] = mapped_column("slot", primary_key=True, autoincrement=False)
    state: Mapped[str]  # writing, stored
    digest: Mapped[str]  # of the body's bytes
    form: Mapped[str]  # dense, factored, sums
    zero: Mapped[bool]
    bytes: Mapped[int]  # of the body
    count: Mapped[int]  # gradients it stands for: 1, or as many as were summed
    zero_count: Mapped[int]  # how many of them are zero
    reserved_by: Mapped[str]  # the upload that writes it
    reserved_until: Mapped[datetime]  # a reservation that ran out may be taken over


class JobRow(Table):
    """Work for a worker.

    A lease is a worker's name, a time until which it holds, and a fence: a number that grows with
    every lease, so that a worker that lost its lease can change nothing any more.
    """

    __tablename__ = "jobs"
    __table_args__ = (Index("jobs_by_state", "state", "created"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    calibration_id: Mapped[str] = mapped_column(ForeignKey("calibrations.id"), index=True)
    kind: Mapped[str]  # accumulate (while gradients arrive), publish (after finish)
    state: Mapped[str]  # queued, leased, done, failed
    phase: Mapped[str]
    completed: Mapped[int]
    total: Mapped[int]
    worker: Mapped[str | None]
    fence: Mapped[int]
    leased_until: Mapped[datetime | None]
    attempts: Mapped[int]
    error: Mapped[str | None] = mapped_column(Text)  # Problem as JSON
    version: Mapped[int | None]  # what it published, under the calibration's name
    created: Mapped[datetime]
    updated: Mapped[datetime]


class BasisRow(Table):
    """A basis whose files are in the store, whole."""

    __tablename__ = "bases"

    digest: Mapped[str] = mapped_column(primary_key=True)
    manifest: Mapped[str] = mapped_column(Text)  # BasisManifest, canonical bytes
    created: Mapped[datetime]


class VersionRow(Table):
    """A version under a name; it never changes."""

    __tablename__ = "versions"

    namespace: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(ForeignKey("bases.digest"), index=True)
    calibration_id: Mapped[str] = mapped_column(ForeignKey("calibrations.id"))
    created: Mapped[datetime]


class AliasRow(Table):
    """What an alias names at present."""

    __tablename__ = "aliases"
    __table_args__ = (
        ForeignKeyConstraint(
            ["namespace", "name", "version"],
            ["versions.namespace", "versions.name", "versions.version"],
        ),
    )

    namespace: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]


class AliasChangeRow(Table):
    """What an alias has named, one row a change."""

    __tablename__ = "alias_changes"
    __table_args__ = (Index("alias_changes_by_alias", "namespace", "name", "alias"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    namespace: Mapped[str]
    name: Mapped[str]
    alias: Mapped[str]
    version: Mapped[int]
    changed: Mapped[datetime]
    changed_by: Mapped[str]  # the token's name


class TokenRow(Table):
    """A token: only its hash is kept."""

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)  # SHA-256 of the whole token, hexadecimal
    namespace: Mapped[str]  # "*" is every namespace
    scope: Mapped[str]  # read, write, admin; each holds the ones before it
    created: Mapped[datetime]
    expires: Mapped[datetime | None]
    revoked: Mapped[datetime | None]
