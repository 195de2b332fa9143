"""The audit log: whole pages, every filter, and nothing that is not swept goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session
from support.catalogs import empty

from sparsegrad_server.catalog import Catalog, audit
from sparsegrad_server.catalog.audit import AuditQuery
from sparsegrad_shared.audit import AuditEntry
from sparsegrad_shared.errors import InvalidInput

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def session(catalog: Catalog) -> Iterator[Session]:
    with catalog.writing() as session:
        yield session


def entry(number: int, **changes: Any) -> AuditEntry:
    values: dict[str, Any] = {
        "id": f"row{number:04}",
        "at": NOW + timedelta(seconds=number),
        "token_id": "tok-1",
        "token_name": "alice",
        "namespace": "team",
        "action": "PUT /v1/things",
        "target": "/v1/things",
        "status": 200,
        "request_id": "r",
    }
    return AuditEntry.model_validate(values | changes)


def pages(session: Session, query: AuditQuery, limit: int) -> list[AuditEntry]:
    found: list[AuditEntry] = []
    after = None
    while True:
        page = audit.search(session, query, limit, after)
        assert len(page.entries) <= limit
        found += page.entries
        if page.next is None:
            return found
        after = page.next


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seconds=st.lists(st.integers(0, 5), max_size=12), limit=st.integers(1, 5))
def test_the_pages_together_are_all_rows_once_newest_first(
    catalog: Catalog, seconds: list[int], limit: int
) -> None:
    empty(catalog)
    with catalog.writing() as session:
        rows = [
            entry(number, at=NOW + timedelta(seconds=second))
            for number, second in enumerate(seconds)
        ]
        for row in rows:
            assert audit.add(session, row)
        newest_first = sorted(rows, key=lambda row: (row.at, row.id), reverse=True)
        assert pages(session, AuditQuery(), limit) == newest_first
        assert list(audit.entries(session, AuditQuery(), limit)) == newest_first[:limit]


def test_a_row_that_comes_while_somebody_reads_moves_nothing(session: Session) -> None:
    for number in range(4):
        audit.add(session, entry(number))
    first = audit.search(session, AuditQuery(), 2)
    audit.add(session, entry(9))
    second = audit.search(session, AuditQuery(), 2, first.next)
    assert [row.id for row in (*first.entries, *second.entries)] == [
        "row0003", "row0002", "row0001", "row0000",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (AuditQuery(namespace="rivals"), [2]),
        (AuditQuery(token="bob"), [1]),
        (AuditQuery(token="tok-2"), [1]),
        (AuditQuery(action="token"), [3]),
        (AuditQuery(action="PUT %"), []),  # no pattern: what it begins with
        (AuditQuery(since=NOW + timedelta(seconds=2)), [3, 2]),
        (AuditQuery(until=NOW + timedelta(seconds=1)), [0]),
        (AuditQuery(refused=True), [2]),
        (AuditQuery(refused=False), [3, 1, 0]),
    ],
)
def test_a_filter_finds_what_it_says(session: Session, query: AuditQuery, found: list[int]) -> None:
    audit.add(session, entry(0))
    audit.add(session, entry(1, token_name="bob", token_id="tok-2"))
    audit.add(session, entry(2, namespace="rivals", status=403))
    audit.add(session, entry(3, action="token revoke", token_id=None))
    assert [row.id for row in pages(session, query, 2)] == [f"row{n:04}" for n in found]


def test_the_same_row_is_added_once_and_what_is_too_long_is_cut(session: Session) -> None:
    assert audit.add(session, entry(0, target="x" * 2000))
    assert not audit.add(session, entry(0, target="another"))
    (row,) = pages(session, AuditQuery(), 10)
    assert row.target == "x" * audit.MAX_TEXT


def test_a_sweep_removes_what_is_older_and_nothing_else(session: Session) -> None:
    for number in range(5):
        audit.add(session, entry(number))
    assert audit.sweep(session, NOW + timedelta(seconds=3)) == 3
    assert [row.id for row in pages(session, AuditQuery(), 10)] == ["row0004", "row0003"]
    assert audit.sweep(session, NOW) == 0


@pytest.mark.parametrize("mark", ["", "x", "2026-01-01_row", "bnVsbA"])
def test_what_is_no_mark_of_a_page_is_refused(session: Session, mark: str) -> None:
    with pytest.raises(InvalidInput, match="next"):
        audit.search(session, AuditQuery(), 10, mark)


def test_two_that_bring_the_same_row_at_once_wait_and_add_it_once(catalog: Catalog) -> None:
    added: list[bool] = []

    def bring() -> None:
        with catalog.writing() as session:
            added.append(audit.add(session, entry(0)))

    threads = [threading.Thread(target=bring) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(added) == [False, False, False, True]


def test_a_target_that_no_database_takes_is_kept_as_well_as_can_be(session: Session) -> None:
    audit.add(session, entry(0, target="/v1/a\0b"))
    (row,) = pages(session, AuditQuery(), 1)
    assert row.target == "/v1/a\N{REPLACEMENT CHARACTER}b"
