"""Rows that several transactions may insert at once, of which one wins and none fails."""

from __future__ import annotations

from sqlalchemy import literal
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from .tables import Table


def insert_if_absent(session: Session, table: type[Table], **values: object) -> bool:
    """Insert a row, unless there is one of its key; answers whether it was inserted.

    Where another transaction has inserted one and not ended yet, this waits for its end: after
    that the row is either there to be read, or was undone and this one inserted.
    """
    insert: postgresql.Insert | sqlite.Insert
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    insert = sqlite.insert(table) if on_sqlite else postgresql.insert(table)
    inserted = insert.values(**values).on_conflict_do_nothing().returning(literal(1))
    return session.execute(inserted).first() is not None
