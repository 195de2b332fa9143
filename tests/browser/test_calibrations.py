"""Calibrations: the list, and one that moves while somebody looks at it."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect
from support.dashboard import BASIS, LAYERS, STOPPED
from support.pixels import colour, drawing, painted
from support.stepping import Stepping
from support.visiting import Visit, Visitors

MOVING = "team/minilm-moving"
SILENCE_MS = 17_000  # after which a page takes its connection for lost

# Every text that an element has had since.
_RECORD = """(element) => {
  window.texts = [element.textContent];
  new MutationObserver(() => window.texts.push(element.textContent)).observe(
    element, { childList: true, characterData: true, subtree: true });
}"""


def test_gradients_are_seen_arriving_phases_passing_and_the_basis_coming(
    reader: Visit, moving: Stepping
) -> None:
    page = _open(reader)
    expect(page.locator("#connection")).to_have_text("Live")
    page.evaluate("window.loadedOnce = true")
    expect(_text(page, "total")).to_have_text("0 of 72")
    bar = page.locator("progress[data-bar='group-0']")
    assert _drawn(page, bar) == 0

    moving.go_on(1)
    expect(_text(page, "total")).to_have_text("12 of 72")
    assert _drawn(page, bar) == pytest.approx(1 / 6, abs=0.05)
    moving.go_on(2)
    expect(_text(page, "total")).to_have_text("36 of 72")
    assert _drawn(page, bar) == pytest.approx(1 / 2, abs=0.05)
    expect(_text(page, "arrive")).to_contain_text(re.compile(r"\d [kM]?B/s · about \d+ s left"))

    chart = page.locator("#throughput-chart canvas")
    expect(chart).to_be_visible()
    first = drawing(chart)
    # A line is there; how steep it is, is the machine's affair.
    assert first.share_of_height(colour(page, "accent")) > 0

    _text(page, "compute").evaluate(_RECORD)
    moving.go_on(3)
    expect(page.get_by_role("link", name="Look at the basis")).to_be_visible()
    expect(page.get_by_text("Was the client stopped?")).to_be_hidden()
    expect(page.locator(".step")).to_have_count(3)
    for step in page.locator(".step").all():
        expect(step).to_have_attribute("data-state", "done")
    expect(page.locator("#connection")).to_have_text("Complete")
    assert _drawn(page, bar) == pytest.approx(1, abs=0.05)  # its ends are round
    assert first.share_unlike(drawing(chart)) > 0
    phases = page.evaluate("window.texts")
    # Which of the short phases it catches is chance: it looks a few times a second.
    assert any(re.search("solving|choosing|judging", phase) for phase in phases), phases
    assert page.evaluate("window.loadedOnce")

    page.get_by_role("link", name="Look at the basis").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{MOVING}@1")


def test_a_lost_connection_is_said_and_comes_back_by_itself(
    reader: Visit, visitors: Visitors, paths: dict[str, str]
) -> None:
    page = reader.page
    page.clock.install()
    reader.go(paths["calibration-open"])
    connection = page.locator("#connection")
    expect(connection).to_have_text("Live")
    server = visitors.server.process
    server.send_signal(signal.SIGSTOP)
    try:
        page.clock.run_for(SILENCE_MS)
        expect(connection).to_contain_text("Connection lost")
        expect(page.get_by_role("status")).to_contain_text("Connection lost")
    finally:
        server.send_signal(signal.SIGCONT)
    page.clock.run_for(SILENCE_MS)
    expect(connection).to_have_text("Live")
    expect(page.get_by_role("status")).to_have_text("Connected again")


def test_a_calibration_whose_client_has_stopped_shows_what_is_there(
    reader: Visit, paths: dict[str, str]
) -> None:
    page = reader.go(paths["calibration-open"])
    expect(page.get_by_role("heading", level=1)).to_have_text(STOPPED)
    expect(page.locator(".step").first).to_have_attribute("data-state", "current")
    expect(page.get_by_text("Was the client stopped?")).to_contain_text("--resume cal-")
    expect(page.get_by_role("link", name="Look at the basis")).to_be_hidden()
    rows = page.get_by_role("region", name="Arrivals by group").locator("tbody tr")
    expect(rows).to_have_count(2)


def test_typing_and_choosing_a_state_narrow_the_list(reader: Visit, visitors: Visitors) -> None:
    page = reader.go("/calibrations")
    page.get_by_label("Search").press_sequentially("layers")
    expect(_titles(page)).to_have_text([LAYERS])
    page.wait_for_url("**/calibrations?q=layers")
    page.get_by_label("Search").fill("minilm")
    page.get_by_label("State").select_option("open")
    expect(_titles(page)).to_have_text([STOPPED])
    page.wait_for_url(re.compile("state=open"))
    with visitors.open("write") as other:
        expect(_titles(other.go(reader.path))).to_have_text([STOPPED])


def test_a_calibration_of_another_namespace_is_not_there(visitors: Visitors) -> None:
    with visitors.open("read", namespace="other") as visit:
        page = visit.go("/calibrations")
        expect(_titles(page)).to_have_text(["other/minilm-secret"])
        address = page.locator(".row-title").get_attribute("href")
    with visitors.open("read") as visit:
        page = visit.go(f"{address}")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Unknown")


def test_a_published_calibration_leads_to_its_basis(reader: Visit, paths: dict[str, str]) -> None:
    page = reader.go(paths["calibration"])
    page.get_by_role("link", name="Look at the basis").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{BASIS}@1")


def test_a_namespace_without_calibrations_is_told_how_to_begin(visitors: Visitors) -> None:
    with visitors.open("read", namespace="empty") as visit:
        page = visit.go("/calibrations")
        expect(page.get_by_role("heading", name="No calibration yet")).to_be_visible()
        expect(page.locator("pre")).to_contain_text("--name empty/")


@pytest.fixture
def moving(visitors: Visitors) -> Iterator[Stepping]:
    """A calibration that goes on when it is told to."""
    server = visitors.server
    with Stepping(server.url, server.token(), MOVING) as stepping:
        yield stepping


def _open(visit: Visit) -> Page:
    page = visit.go("/calibrations?q=moving")
    page.get_by_role("link", name=MOVING).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(MOVING)
    return page


def _text(page: Page, name: str) -> Locator:
    return page.locator(f"[data-text='{name}']").first


def _drawn(page: Page, bar: Locator) -> float:
    """How far a progress bar goes, as it looks; 1 is to the end."""
    return painted(bar).share_of_width(colour(page, "accent"))


def _titles(page: Page) -> Locator:
    return page.locator("#results .row-title")
