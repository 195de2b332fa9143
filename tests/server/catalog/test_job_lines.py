"""What jobs say: kept in order, page by page, the middle of very much left out and counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from support.workbench import group_of, manifest_of

from sparsegrad_server.catalog import Catalog, calibrations, job_lines
from sparsegrad_server.catalog.job_lines import FIRST, LAST, MAX_TEXT
from sparsegrad_server.catalog.tables import JobLineRow
from sparsegrad_server.jobs.queue import enqueue_publish

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def job(catalog: Catalog) -> str:
    with catalog.writing() as session:
        calibrations.add(session, "cal-1", manifest_of([group_of()]), "tests", NOW)
        return enqueue_publish(session, "cal-1", NOW).id


def say(catalog: Catalog, job: str, *texts: str) -> None:
    with catalog.writing() as session:
        for second, text in enumerate(texts):
            job_lines.add(session, job, "info", text, NOW + timedelta(seconds=second))


def test_lines_come_back_in_order_page_by_page(catalog: Catalog, job: str) -> None:
    texts = [f"line {number}" for number in range(1, 8)]
    say(catalog, job, *texts[:4])
    say(catalog, job, *texts[4:])
    found: list[str] = []
    after: int | None = 0
    pages = 0
    while after is not None:
        with catalog.reading() as session:
            page = job_lines.read(session, job, 3, after)
        assert (page.left_out, len(page.lines) <= 3) == (0, True)
        found += [line.text for line in page.lines]
        after, pages = page.next, pages + 1
    assert found == texts
    assert pages == 3


def test_a_clock_that_is_behind_dates_no_line_before_the_last_one(
    catalog: Catalog, job: str
) -> None:
    with catalog.writing() as session:
        for seconds in (5, 3, 7):
            job_lines.add(session, job, "info", "", NOW + timedelta(seconds=seconds))
    with catalog.reading() as session:
        lines = job_lines.read(session, job, 3).lines
    assert [(line.at - NOW).total_seconds() for line in lines] == [5, 5, 7]


def test_who_has_read_all_is_told_only_what_is_new(catalog: Catalog, job: str) -> None:
    say(catalog, job, "first")
    with catalog.reading() as session:
        assert job_lines.read(session, job, 10, 1).lines == ()
    say(catalog, job, "second")
    with catalog.reading() as session:
        (line,) = job_lines.read(session, job, 10, 1).lines
    assert (line.number, line.text, line.level, line.at) == (2, "second", "info", NOW)


def test_a_job_that_says_very_much_keeps_its_beginning_and_its_end(
    catalog: Catalog, job: str
) -> None:
    more = 7
    say(catalog, job, *(str(number) for number in range(1, FIRST + LAST + more + 1)))
    with catalog.reading() as session:
        kept = session.scalar(select(func.count()).select_from(JobLineRow))
        page = job_lines.read(session, job, 10_000)
        rest = job_lines.read(session, job, 10_000, FIRST)
        apart = job_lines.read(session, job, 10, FIRST + LAST)
    assert kept == FIRST + LAST
    assert page.left_out == rest.left_out == more
    assert apart.left_out == 0
    numbers = [line.number for line in page.lines]
    assert numbers == [*range(1, FIRST + 1), *range(FIRST + more + 1, FIRST + LAST + more + 1)]
    assert all(line.text == str(line.number) for line in page.lines)


def test_a_line_is_cut_and_cleared_of_what_no_database_takes(catalog: Catalog, job: str) -> None:
    say(catalog, job, "a\0b" + "x" * MAX_TEXT)
    with catalog.reading() as session:
        (line,) = job_lines.read(session, job, 1).lines
    assert line.text == "a\N{REPLACEMENT CHARACTER}b" + "x" * (MAX_TEXT - 3)
