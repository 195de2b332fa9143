"""Jobs: the list by state, and one with what it says, while it waits and while it works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, expect
from support.gradients import dense_frame, open_calibration, put
from support.serving import Serving
from support.visiting import Visit, Visitors


def test_a_state_narrows_the_list_and_back_widens_it(reader: Visit) -> None:
    page = reader.go("/jobs")
    states = page.get_by_role("navigation", name="By state")
    states.get_by_role("link", name="Failed").click()
    expect(page.get_by_role("heading", name="No job is like that")).to_be_visible()
    states.get_by_role("link", name="Done").click()
    expect(states.get_by_role("link", name="Done")).to_have_attribute("aria-current", "page")
    expect(page.locator(".rows .badge").first).to_be_visible()
    assert set(page.locator(".rows .badge").all_inner_texts()) == {"done"}
    page.go_back()
    expect(page.get_by_role("heading", name="No job is like that")).to_be_visible()


def test_a_job_that_has_ended_shows_what_it_said_and_leads_to_its_basis(
    reader: Visit, paths: dict[str, str]
) -> None:
    page = reader.go(paths["job"])
    log = page.get_by_role("log")
    expect(log).to_contain_text("solving")
    expect(log).to_contain_text("published as version 1")
    page.get_by_role("link", name="Look at the basis").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("@1")


def test_a_job_that_waits_is_seen_taken_up_and_done(chromium: Browser, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Serving(data) as server, server.client() as client:
        calibration = open_calibration(client)
        for index in range(10):
            put(client, calibration, index, dense_frame(index)).raise_for_status()
        job = client.post(f"/v1/calibrations/{calibration}/finish").json()["id"]
        with Visitors(chromium, server).open("read") as visit:
            page = visit.go(f"/jobs/{job}")
            expect(page.get_by_text("the next one that is free takes it")).to_be_visible()
            lines = page.get_by_role("log").locator("li")
            before = lines.count()
            page.evaluate("window.loadedOnce = true")
            with _worker(data):
                expect(page.get_by_role("link", name="Look at the basis")).to_be_visible()
                expect(page.locator("#connection")).to_have_text("Complete")
            assert lines.count() > before
            expect(lines.last).to_contain_text("published as version 1")
            numbers = lines.evaluate_all("(all) => all.map((e) => Number(e.dataset.number))")
            assert numbers == sorted(set(numbers))
            assert page.evaluate("window.loadedOnce")


def test_a_namespace_without_jobs_is_told_how_one_begins(visitors: Visitors) -> None:
    with visitors.open("read", namespace="empty") as visit:
        page = visit.go("/jobs")
        expect(page.get_by_role("heading", name="No job yet")).to_be_visible()
        expect(page.locator("pre")).to_contain_text("--name empty/")


@contextmanager
def _worker(data: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "sparsegrad_server", "worker", "--data", str(data)],
        env=os.environ
        | {
            "OMP_NUM_THREADS": "1",
            "SPARSEGRAD_MIN_FREE_BYTES": "0",
            "SPARSEGRAD_POLL_SECONDS": "0.1",
        },
    )
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0
