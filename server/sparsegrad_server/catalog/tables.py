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

LONGEST = 500  # characters of a text that is not said to be long


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

    type_annotation_map = {datetime: UtcDateTime, int: BigInteger, str: String(LONGEST)}  # noqa: RUF012


class NamespaceRow(Table):
    """What a namespace holds, so that its quota is one row and not a sum over all gradients."""

    __tablename__ = "namespaces"

    name: Mapped[str] = mapped_column(primary_key=True)
    bytes: Mapped[int]  # of its gradients' bodies, those being written included


class CalibrationRow(Table):
    """A calibration: its manifest, and whether it still takes gradients."""

    __tablename__ = "calibrations"
    __table_args__ = (Index("calibrations_by_time", "created"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    namespace: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    manifest: Mapped[str] = mapped_column(Text)  # CalibrationManifest as JSON
    state: Mapped[str]  # open, finished, expired (its gradients are gone)
    created: Mapped[datetime]
    created_by: Mapped[str]  # the token's name
    expires: Mapped[datetime | None]  # when its gradients may go; never when None
    job_id: Mapped[str | None]  # the job that `finish` started


class GradientRow(Table):
    """A slot: reserved by one upload while it is written, then stored for good."""

    __tablename__ = "gradients"

    calibration_id: Mapped[str] = mapped_column(ForeignKey("calibrations.id"), primary_key=True)
    group: Mapped[str] = mapped_column("group_name", primary_key=True)
    index: Mapped[int] = mapped_column("slot", primary_key=True, autoincrement=False)
    state: Mapped[str]  # writing, stored
    digest: Mapped[str]  # of the body's bytes
    # The text of the body's frame header: with the tensors it gives the body's bytes again, so
    # that they can be held to the digest. None for rows of the first schema.
    header: Mapped[str | None] = mapped_column(Text)
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
    __table_args__ = (
        Index("jobs_by_state", "state", "created"),
        Index("jobs_by_calibration", "calibration_id", "kind", unique=True),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    calibration_id: Mapped[str] = mapped_column(ForeignKey("calibrations.id"))
    kind: Mapped[str]  # accumulate (while gradients arrive), publish (after finish)
    state: Mapped[str]  # queued, leased, done, failed
    phase: Mapped[str]
    phase_began: Mapped[datetime | None]  # while it is leased
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


class PhaseRow(Table):
    """How often phases of jobs ran to their end, and how long that took, since the beginning."""

    __tablename__ = "job_phases"

    kind: Mapped[str] = mapped_column(primary_key=True)  # of the job
    phase: Mapped[str] = mapped_column(primary_key=True)  # the first word of the job's phase
    count: Mapped[int]
    seconds: Mapped[float]


class JobLineRow(Table):
    """A line of what a job said."""

    __tablename__ = "job_lines"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # from 1
    at: Mapped[datetime]
    level: Mapped[str]  # info, warning, error
    text: Mapped[str] = mapped_column(Text)


class BasisRow(Table):
    """A basis whose files are in the store, whole."""

    __tablename__ = "bases"

    digest: Mapped[str] = mapped_column(primary_key=True)
    manifest: Mapped[str] = mapped_column(Text)  # BasisManifest, canonical bytes
    model: Mapped[str] = mapped_column(index=True)  # the model's id, as the manifest has it
    dataset: Mapped[str] = mapped_column(index=True)  # the data set's id, likewise
    created: Mapped[datetime]


class BasisGroupRow(Table):
    """The shape of a basis's group, for the search."""

    __tablename__ = "basis_groups"
    __table_args__ = (Index("basis_groups_by_shape", "d_out", "d_in"),)

    digest: Mapped[str] = mapped_column(ForeignKey("bases.digest"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    d_out: Mapped[int]
    d_in: Mapped[int]


class VersionRow(Table):
    """A version under a name; what it is never changes.

    One that was deleted keeps its row, so that its number is never given out again.
    """

    __tablename__ = "versions"
    __table_args__ = (Index("versions_by_time", "created"),)

    namespace: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(ForeignKey("bases.digest"), index=True)
    calibration_id: Mapped[str | None] = mapped_column(ForeignKey("calibrations.id"))
    created: Mapped[datetime]
    created_by: Mapped[str]  # the name of the token that finished its calibration, or imported it
    pinned: Mapped[bool]  # a pinned version cannot be deleted
    deleted: Mapped[datetime | None]


class TagRow(Table):
    """A word that a version can be found by."""

    __tablename__ = "tags"
    __table_args__ = (
        ForeignKeyConstraint(
            ["namespace", "name", "version"],
            ["versions.namespace", "versions.name", "versions.version"],
        ),
        Index("tags_by_tag", "tag"),
    )

    namespace: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tag: Mapped[str] = mapped_column(primary_key=True)


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
    protected: Mapped[bool]  # only an admin's token moves it


class AliasChangeRow(Table):
    """What an alias has named, one row a change."""

    __tablename__ = "alias_changes"
    __table_args__ = (Index("alias_changes_by_alias", "namespace", "name", "alias"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    namespace: Mapped[str]
    name: Mapped[str]
    alias: Mapped[str]
    version: Mapped[int]  # 0: it was deleted
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
    last_used: Mapped[datetime | None]  # to the minute or so


class SessionRow(Table):
    """A browser that has signed in with a token: only the hash of its cookie is kept."""

    __tablename__ = "sessions"
    __table_args__ = (Index("sessions_by_expiry", "expires"),)

    hash: Mapped[str] = mapped_column(primary_key=True)  # SHA-256 of the cookie, hexadecimal
    token_id: Mapped[str] = mapped_column(ForeignKey("tokens.id"))
    created: Mapped[datetime]
    expires: Mapped[datetime]


class AuditRow(Table):
    """A change that somebody made or was refused: who, what, when, with what outcome."""

    __tablename__ = "audit"
    __table_args__ = (Index("audit_by_time", "at"), Index("audit_by_namespace", "namespace", "at"))

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    token_id: Mapped[str | None]  # None for the operator at the command line
    token_name: Mapped[str]
    namespace: Mapped[str | None]
    action: Mapped[str]  # the route's template with its method, or the command
    target: Mapped[str]  # what it was done to
    status: Mapped[int]  # the HTTP status of the answer
    request_id: Mapped[str]
