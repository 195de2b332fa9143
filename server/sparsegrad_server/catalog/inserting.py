"""Rows that several transactions may insert at once, of which one wins and none fails."""

from __future__ import annotations

from functools import cache

from sqlalchemy import inspect, literal
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningInsert

from .tables import Table


def insert_if_absent(session: Session, table: type[Table], **values: object) -> bool:
    """Insert a row, unless there is one of its key; answers whether it was inserted.

    Where another transaction has inserted one and not ended yet, this waits for its end: after
    that the row is either there to be read, or was undone and this one inserted.
    """
    session.flush()  # what it may refer to; a statement that is no mapper's does not by itself
    columns = inspect(table).columns
    row = {columns[name].key: value for name, value in values.items()}
    insert = _insert(table, session.get_bind().dialect.name)
    return session.execute(insert, row).first() is not None


@cache  # a statement takes longer to put together than to carry out
def _insert(table: type[Table], dialect: str) -> ReturningInsert[tuple[int]]:
    insert: postgresql.Insert | sqlite.Insert
    core = Table.metadata.tables[table.__tablename__]
    insert = sqlite.insert(core) if dialect == "sqlite" else postgresql.insert(core)
    return insert.on_conflict_do_nothing().returning(literal(1))
