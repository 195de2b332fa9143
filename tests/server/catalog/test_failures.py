"""What a failure of the database is called: busy when it is busy, away when it is away."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from sparsegrad_server.catalog import Catalog
from sparsegrad_server.catalog.failures import problem_of
from sparsegrad_shared.errors import Overloaded, Unavailable


def test_a_lock_that_another_holds_for_too_long_is_a_busy_catalog(postgres_url: str) -> None:
    table = text("LOCK TABLE namespaces IN ACCESS EXCLUSIVE MODE")
    with closing(Catalog(postgres_url)) as catalog:
        catalog.migrate()
        with catalog.writing() as holder, catalog.writing() as other:
            holder.execute(table)
            other.execute(text("SET LOCAL lock_timeout = '10ms'"))
            with pytest.raises(OperationalError) as failure:
                other.execute(table)
            other.rollback()
    assert isinstance(problem_of(failure.value), Overloaded)


def test_a_database_that_nobody_runs_does_not_answer() -> None:
    with (
        closing(Catalog("postgresql://nobody@127.0.0.1:1/none")) as catalog,
        pytest.raises(OperationalError) as failure,
        catalog.reading() as session,
    ):
        session.execute(text("SELECT 1"))
    assert isinstance(problem_of(failure.value), Unavailable)
