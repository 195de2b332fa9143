"""Whether the catalog's rows agree with one another."""

from __future__ import annotations

from sqlalchemy import ForeignKeyConstraint, and_, func, or_, select
from sqlalchemy.orm import Session

from ..catalog.tables import (
    AliasRow,
    CalibrationRow,
    GradientRow,
    JobRow,
    NamespaceRow,
    Table,
    VersionRow,
)
from .findings import Notes
from .parts import Parts

_RESTORE = "restore the catalog from its last backup"
_SHOWN = 20  # rows of one kind that are told of one by one


def check_references(parts: Parts, notes: Notes) -> None:
    """Look at every reference from row to row, and at every sum that is kept."""
    with parts.catalog.reading() as session:
        _check_database(session, notes)
        for table in Table.metadata.sorted_tables:
            for constraint in table.foreign_key_constraints:
                _check_foreign_key(session, notes, constraint)
                notes.looked_at["kinds of references"] += 1
        _check_calibrations(session, notes)
        _check_jobs(session, notes)
        _check_aliases(session, notes)
        _check_namespaces(session, notes)


def _check_database(session: Session, notes: Notes) -> None:
    if session.get_bind().dialect.name != "sqlite":
        return  # PostgreSQL holds its pages to checksums as it reads them, where it was told to
    for (line,) in session.connection().exec_driver_sql("PRAGMA integrity_check"):
        if line != "ok":
            notes.add("catalog", f"SQLite says: {line}", _RESTORE)


def _check_foreign_key(session: Session, notes: Notes, constraint: ForeignKeyConstraint) -> None:
    """Find the rows that name one which is not there; the database should never let them be."""
    table = constraint.table
    target = constraint.referred_table.alias()
    names = [element.parent for element in constraint.elements]
    there = select(1).where(
        *(element.parent == target.c[element.column.name] for element in constraint.elements)
    )
    given = and_(*(column.is_not(None) for column in names))
    lost = select(*names).select_from(table).where(given, ~there.correlate(table).exists())
    for row in session.execute(lost.limit(_SHOWN)):
        named = "/".join(str(value) for value in row)
        notes.add(f"{table.name}", f"names {target.name} {named}, which is not there", _RESTORE)


def _check_calibrations(session: Session, notes: Notes) -> None:
    publication = and_(
        JobRow.id == CalibrationRow.job_id,
        JobRow.calibration_id == CalibrationRow.id,
        JobRow.kind == "publish",
    )
    without = select(CalibrationRow).where(
        or_(CalibrationRow.state == "finished", CalibrationRow.job_id.is_not(None)),
        ~select(1).where(publication).correlate(CalibrationRow).exists(),
    )
    for row in session.scalars(without.limit(_SHOWN)):
        notes.add(f"calibration {row.id}", "it was finished but has no job", "finish it again")
    unknown = CalibrationRow.state.not_in(("open", "finished", "expired"))
    for row in session.scalars(select(CalibrationRow).where(unknown).limit(_SHOWN)):
        notes.add(f"calibration {row.id}", f"its state is {row.state!r}", _RESTORE)
    notes.looked_at["calibrations"] = _count(session, CalibrationRow)


def _check_jobs(session: Session, notes: Notes) -> None:
    version = and_(
        VersionRow.namespace == CalibrationRow.namespace,
        VersionRow.name == CalibrationRow.name,
        VersionRow.version == JobRow.version,
    )
    without = (
        select(JobRow)
        .join(CalibrationRow, CalibrationRow.id == JobRow.calibration_id)
        .where(
            JobRow.kind == "publish",
            JobRow.state == "done",
            ~select(1).where(version).correlate(JobRow, CalibrationRow).exists(),
        )
    )
    for job in session.scalars(without.limit(_SHOWN)):
        notes.add(f"job {job.id}", "it is done, but its version is not there", _RESTORE)
    unknown = JobRow.state.not_in(("queued", "leased", "done", "failed"))
    for job in session.scalars(select(JobRow).where(unknown).limit(_SHOWN)):
        notes.add(f"job {job.id}", f"its state is {job.state!r}", _RESTORE)
    notes.looked_at["jobs"] = _count(session, JobRow)


def _check_aliases(session: Session, notes: Notes) -> None:
    deleted = (
        select(AliasRow)
        .join(
            VersionRow,
            and_(
                VersionRow.namespace == AliasRow.namespace,
                VersionRow.name == AliasRow.name,
                VersionRow.version == AliasRow.version,
            ),
        )
        .where(VersionRow.deleted.is_not(None))
    )
    for row in session.scalars(deleted.limit(_SHOWN)):
        where = f"alias {row.namespace}/{row.name}:{row.alias}"
        notes.add(where, f"it names version {row.version}, which was deleted", "move the alias")
    notes.looked_at["aliases"] = _count(session, AliasRow)


def _check_namespaces(session: Session, notes: Notes) -> None:
    """Hold the bytes that a quota goes by to the sum of the gradients' (in one state of all)."""
    held = (
        select(CalibrationRow.namespace, func.sum(GradientRow.bytes))
        .join(GradientRow, GradientRow.calibration_id == CalibrationRow.id)
        .group_by(CalibrationRow.namespace)
    )
    sums = {namespace: int(total) for namespace, total in session.execute(held)}
    said = {row.name: row.bytes for row in session.scalars(select(NamespaceRow))}
    for name in sorted(said.keys() | sums.keys()):
        if said.get(name, 0) != sums.get(name, 0):
            notes.add(
                f"namespace {name}",
                f"its quota counts {said.get(name, 0)} bytes; its gradients have "
                f"{sums.get(name, 0)}",
                "tell the developers; until then its quota is off by the difference",
            )
    notes.looked_at["namespaces"] = len(said)


def _count(session: Session, table: type[Table]) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0
