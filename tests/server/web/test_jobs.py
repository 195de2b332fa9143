"""Pages of jobs: the list by state, and one that says what it does while somebody listens."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from support.browsers import sign_in, words_of
from support.live_pages import first, listening
from support.service import Service
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_server.catalog import job_lines
from sparsegrad_server.catalog.job_lines import FIRST, LAST
from sparsegrad_server.jobs import queue
from sparsegrad_server.jobs.queue import Lease
from sparsegrad_server.web.jobs import PAGE
from sparsegrad_shared.errors import JobFailed

UP = group_of("up")
LEASE = timedelta(minutes=5)


def queued(bench: Workbench, name: str) -> str:
    calibration = bench.open(manifest_of([UP], name=name))
    return bench.finish(calibration)


def claim(bench: Workbench, worker: str) -> Lease:
    """The oldest job that waits, for a worker."""
    with bench.catalog.writing() as session:
        lease = queue.claim(session, worker, datetime.now(UTC), LEASE)
    assert lease is not None
    return lease


def report(bench: Workbench, lease: Lease, phase: str, completed: int, *lines: str) -> None:
    with bench.catalog.writing() as session:
        queue.report(session, lease, phase, completed, 8, datetime.now(UTC), list(lines))


def fail(bench: Workbench, lease: Lease, why: str) -> None:
    with bench.catalog.writing() as session:
        problem = JobFailed(why).to_problem()
        queue.fail(session, lease, problem, datetime.now(UTC))


@pytest.fixture
def nobody_waits(bench: Workbench) -> None:
    """No job of another test waits."""
    bench.work()


@pytest.mark.usefixtures("nobody_waits")
def test_the_list_says_what_each_one_does_and_counts_the_states(
    bench: Workbench, site: Service
) -> None:
    bench.publish(manifest_of([UP], name="lists/done"))
    queued(bench, "lists/failed")
    fail(bench, claim(bench, "a"), "ask for a rank")
    queued(bench, "lists/at-work")
    report(bench, claim(bench, "gpu-box"), "summing gradients of up", 3)
    queued(bench, "lists/waiting")
    with sign_in(site, "lists") as browser:
        every = words_of(browser.get("/jobs").text)
        assert "of lists/failed failed ask for a rank" in every
        assert "of lists/at-work at work 3 of 8 summing gradients of up; worker gpu-box" in every
        assert "All 5 Queued 1 At work 1 Done 2 Failed 1" in every
        for state, name in {"failed": "failed", "leased": "at-work", "queued": "waiting"}.items():
            shown = browser.get(f"/jobs?state={state}").text
            assert re.findall(r"of lists/([a-z-]+)", shown) == [name]


def test_a_list_longer_than_a_page_goes_on(bench: Workbench, site: Service) -> None:
    names = [f"long/n{number}" for number in range(PAGE + 3)]
    for name in names:
        queued(bench, name)
    with sign_in(site, "long") as browser:
        page = browser.get("/jobs?state=queued").text
        (later,) = re.findall(r'href="([^"]+)" rel="next"', page)
        rest = browser.get(later.replace("&amp;", "&")).text
    assert re.findall(r"of (long/n\d+)", page) + re.findall(r"of (long/n\d+)", rest) == names[::-1]


@pytest.mark.parametrize("query", ["state=nope", "after=x"])
def test_a_list_that_cannot_be_is_refused_in_words(viewer: httpx.Client, query: str) -> None:
    answer = viewer.get(f"/jobs?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/html")


def test_where_there_is_none_it_says_how_one_begins(site: Service) -> None:
    with sign_in(site, "empty") as browser:
        assert "sparsegrad-client calibrate" in browser.get("/jobs").text
        assert "No job is like that" in browser.get("/jobs?state=failed").text


@pytest.mark.usefixtures("nobody_waits")
def test_one_that_failed_says_why_and_what_to_do(
    bench: Workbench, viewer: httpx.Client, editor: httpx.Client
) -> None:
    job = queued(bench, "team/failed")
    fail(bench, claim(bench, "a"), "group up needs 9 GiB: ask for a rank")
    words = words_of(viewer.get(f"/jobs/{job}").text)
    assert "group up needs 9 GiB: ask for a rank" in words
    assert "error: group up needs 9 GiB: ask for a rank" in words  # in its log
    assert "ask who has one" in words
    assert "Compute it again" in editor.get(f"/jobs/{job}").text


def test_one_that_is_done_shows_its_log_and_leads_to_its_basis(
    bench: Workbench, viewer: httpx.Client
) -> None:
    job = bench.publish(manifest_of([UP], name="team/said"))
    page = viewer.get(f"/jobs/{job.id}").text
    with bench.catalog.reading() as session:
        lines = job_lines.read(session, job.id, 10_000).lines
    assert [int(number) for number in re.findall(r'data-number="(\d+)"', page)] == [
        line.number for line in lines
    ]
    assert "published as version 1" in page
    assert 'href="/bases/team/said/1"' in page
    assert "data-follow" not in page


def test_what_was_left_out_of_a_log_is_told_where_it_was(
    bench: Workbench, viewer: httpx.Client
) -> None:
    job = queued(bench, "team/talks")
    now = datetime.now(UTC)
    with bench.catalog.writing() as session:
        for number in range(FIRST + LAST + 7):
            job_lines.add(session, job, "info", f"<b>{number}</b>", now)
    page = viewer.get(f"/jobs/{job}").text
    assert page.count("<li data-number=") == FIRST + LAST
    before, after = page.split("7 lines left out here")
    assert f'data-number="{FIRST}"' in before
    assert f'data-number="{FIRST + 8}"' in after
    assert "<b>" not in page


@pytest.mark.usefixtures("nobody_waits")
def test_who_listens_hears_each_line_once_the_phases_and_the_end(
    bench: Workbench, site: Service
) -> None:
    job = queued(bench, "team/heard")
    lease = claim(bench, "gpu-box")
    report(bench, lease, "summing gradients of up", 2, "first", "second")
    with sign_in(site) as browser:
        page = browser.get(f"/jobs/{job}").text
        known = max(int(number) for number in re.findall(r'data-number="(\d+)"', page))
        with listening(browser, f"/jobs/{job}/events?after={known - 1}") as heard:
            live = first(heard, lambda live: True)
            assert [line["text"] for line in live["lines"]] == ["second"]
            assert live["bars"]["phase"] == [2, 8]
            assert "gpu-box" in live["texts"]["worker"]
            report(bench, lease, "solving U and V of up", 1, "third")
            live = first(heard, lambda live: live["texts"]["phase"].startswith("solving"))
            assert [line["text"] for line in live["lines"]] == ["third"]
            fail(bench, lease, "enough")
            live = first(heard, lambda live: live["shown"]["failed"])
            assert live["texts"]["error"] == "enough"
            assert [line["level"] for line in live["lines"]] == ["error"]
            assert list(heard) == [("end", {})]


def test_a_job_of_nobody_or_of_others_is_a_page_that_says_so(
    bench: Workbench, site: Service, viewer: httpx.Client
) -> None:
    theirs = queued(bench, "theirs/alone")
    for job in ("none", theirs):
        answer = viewer.get(f"/jobs/{job}")
        assert answer.status_code == 404
        assert "alone" not in answer.text
