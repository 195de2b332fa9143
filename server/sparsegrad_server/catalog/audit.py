"""The audit log: rows that are added, read, and after a while swept away; never changed otherwise.

Pages go backwards in time, by time and id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, delete, select, update
from sqlalchemy.orm import Session

from sparsegrad_shared.audit import AuditEntry, AuditPage

from . import paging
from .inserting import insert_if_absent
from .tables import AuditRow

MAX_TEXT = 500  # characters of a column


@dataclass(frozen=True)
class AuditQuery:
    """Which rows to read; None is any.

    Attributes:
        namespace: what they concern.
        token: the name or id of who did it.
        action: how the action begins, such as `PUT ` or `token`.
        since: not before this.
        until: before this.
        refused: whether it was refused.
    """

    namespace: str | None = None
    token: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    refused: bool | None = None


def add(session: Session, entry: AuditEntry) -> bool:
    """Add a row; one that is there already stays. Answers whether it was new."""
    # A path may hold NUL, which no text of PostgreSQL's does.
    target = entry.target[:MAX_TEXT].replace("\0", "\N{REPLACEMENT CHARACTER}")
    values = entry.model_dump() | {"target": target}
    return insert_if_absent(session, AuditRow, **values)


def correct(session: Session, entry_id: str, status: int) -> None:
    """Have a row say the status that was answered in the end."""
    session.execute(update(AuditRow).where(AuditRow.id == entry_id).values(status=status))


def search(session: Session, query: AuditQuery, limit: int, after: str | None = None) -> AuditPage:
    """A page of rows, newest first.

    Args:
        session: of the caller's transaction.
        query: which rows.
        limit: the most that a page has.
        after: `next` of the page before.

    Raises:
        InvalidInput: when `after` is no mark of such a page.
    """
    selected = _selected(query).limit(limit + 1)
    if after is not None:
        at, entry_id = paging.read_mark(after, str)
        selected = selected.where(
            paging.after((AuditRow.at, True, at), (AuditRow.id, True, entry_id))
        )
    rows = list(session.scalars(selected))
    shown = rows[:limit]
    more = paging.mark_of(shown[-1].at, shown[-1].id) if len(rows) > limit else None
    return AuditPage(entries=tuple(map(_entry, shown)), next=more)


def entries(session: Session, query: AuditQuery, limit: int) -> Iterator[AuditEntry]:
    """The newest rows, one after another."""
    selected = _selected(query).limit(limit)
    return map(_entry, session.scalars(selected))


def sweep(session: Session, before: datetime) -> int:
    """Remove what is older; answers how many rows that were."""
    swept = session.scalars(delete(AuditRow).where(AuditRow.at < before).returning(AuditRow.id))
    return len(swept.all())


def _selected(query: AuditQuery) -> Select[AuditRow]:
    selected = select(AuditRow).order_by(AuditRow.at.desc(), AuditRow.id.desc())
    if query.namespace is not None:
        selected = selected.where(AuditRow.namespace == query.namespace)
    if query.token is not None:
        who = (AuditRow.token_name == query.token) | (AuditRow.token_id == query.token)
        selected = selected.where(who)
    if query.action is not None:
        selected = selected.where(AuditRow.action.startswith(query.action, autoescape=True))
    if query.since is not None:
        selected = selected.where(AuditRow.at >= query.since)
    if query.until is not None:
        selected = selected.where(AuditRow.at < query.until)
    if query.refused is not None:
        ended = AuditRow.status >= 400
        selected = selected.where(ended if query.refused else ~ended)
    return selected


def _entry(row: AuditRow) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=row.at,
        token_id=row.token_id,
        token_name=row.token_name,
        namespace=row.namespace,
        action=row.action,
        target=row.target,
        status=row.status,
        request_id=row.request_id,
    )
