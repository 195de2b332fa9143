"""One basis: its pictures are drawn, and say what its report says."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from support.dashboard import BASIS, GROUPS, LAYERS
from support.pixels import Drawing, colour, drawing
from support.visiting import Visit, Visitors

from sparsegrad_shared.bases import REPORT_FILE
from sparsegrad_shared.report import BasisReport, GroupReport

ADDRESS = f"/bases/{BASIS}/1"


def test_spectra_and_energies_are_lines_from_edge_to_edge(reader: Visit) -> None:
    page = reader.go(ADDRESS)
    for chart in ("spectrum-chart", "energy-chart"):
        found = _drawn(page, chart)
        for line in ("accent", "second"):
            assert found.share_of_width(colour(page, line)) > 0.4, (chart, line)
            assert found.share_of_height(colour(page, line)) > 0.1, (chart, line)


def test_the_heat_maps_show_a_gradient_that_the_basis_changes(reader: Visit) -> None:
    page = reader.go(ADDRESS)
    for group in GROUPS:
        _show(page, group)
        before, after = (drawing(page.locator(f"#map-{kind}")) for kind in ("original", "basis"))
        for found in (before, after):
            assert found.colours > 32
            # The counts of the largest entries at the edges.
            assert found.share_of_width(colour(page, "accent")) > 0.1
        assert before.share_unlike(after) > 0.3


def test_another_group_brings_its_own_pictures_and_back_brings_the_first(reader: Visit) -> None:
    page = reader.go(ADDRESS)
    first = _drawn(page, "spectrum-chart")
    _show(page, GROUPS[1])
    assert f"group={GROUPS[1]}" in reader.path
    other = _drawn(page, "spectrum-chart")
    assert first.share_unlike(other) > 0
    page.go_back()
    expect(page.locator("#group-title")).to_have_text(GROUPS[0])
    assert first.share_unlike(_drawn(page, "spectrum-chart")) == 0
    page.goto(f"{ADDRESS}?group={GROUPS[1]}")
    assert other.share_unlike(_drawn(page, "spectrum-chart")) == 0


def test_the_numbers_are_those_of_the_report(reader: Visit, visitors: Visitors) -> None:
    page = reader.go(ADDRESS)
    for report in _report(visitors).groups:
        _show(page, report.name)
        bars = page.locator("#group .bar-row")
        assert report.basis is not None
        assert report.original is not None
        expect(bars.nth(0)).to_contain_text(f"{100 * report.basis.energy:.1f}%")
        expect(bars.nth(1)).to_contain_text(f"{100 * report.original.energy:.1f}%")
        assert _length(page, 0) == pytest.approx(report.basis.energy, abs=0.01)
        assert _length(page, 1) == pytest.approx(report.original.energy, abs=0.01)


def test_pictures_have_their_numbers_in_words_and_tables(reader: Visit, visitors: Visitors) -> None:
    page = reader.go(ADDRESS)
    report: GroupReport = _report(visitors).groups[0]
    captions = page.locator("#group figcaption")
    expect(captions).to_have_count(4)
    assert f"{report.spectrum_in.rank_90} of" in captions.nth(1).inner_text()
    curves = page.get_by_text("The curves as a table")
    curves.focus()
    page.keyboard.press("Enter")
    rows = page.locator("details[open] tbody tr")
    expect(rows).to_have_count(len(report.spectrum_in.ranks) + len(report.spectrum_out.ranks))


def test_the_theme_button_draws_anew_and_is_remembered(reader: Visit) -> None:
    page = reader.go(ADDRESS)
    light = _drawn(page, "spectrum-chart")
    was = colour(page, "accent")
    page.get_by_role("button", name="Dark theme").click()
    expect(page.get_by_role("button", name="Dark theme")).to_have_attribute("aria-pressed", "true")
    assert colour(page, "accent") != was
    dark = _drawn(page, "spectrum-chart")
    assert light.share_unlike(dark) > 0
    assert dark.share_of_width(colour(page, "accent")) > 0.4
    page.reload()
    expect(page.get_by_role("button", name="Dark theme")).to_have_attribute("aria-pressed", "true")
    assert dark.share_unlike(_drawn(page, "spectrum-chart")) == 0


def test_a_snippet_is_copied_whole_and_screen_readers_are_told(reader: Visit) -> None:
    page = reader.go(ADDRESS)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the Python code").click()
    expect(page.get_by_role("status")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("#use-python").inner_text()
    assert f'fetch_basis("{BASIS}@1")' in copied


def test_twelve_groups_are_shown_one_at_a_time(reader: Visit) -> None:
    page = reader.go(f"/bases/{LAYERS}/1")
    expect(page.locator("#overview tbody tr")).to_have_count(12)
    picker = page.get_by_label("Show group")
    last = picker.locator("option").last.inner_text()
    picker.select_option(last)
    expect(page.get_by_role("status")).to_have_text(f"Group {last} is shown")
    assert "group=" in reader.path
    assert drawing(page.locator("#map-basis")).colours > 32


def test_an_alias_and_the_other_version_are_one_step_away(reader: Visit) -> None:
    page = reader.go(f"/bases/{BASIS}/prod")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{BASIS}@1")
    page.get_by_role("link", name="Version 2").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{BASIS}@2")


def _show(page: Page, group: str) -> None:
    page.locator("#overview").get_by_role("link", name=group, exact=True).click()
    expect(page.get_by_role("status")).to_have_text(f"Group {group} is shown")


def _drawn(page: Page, chart: str) -> Drawing:
    canvas = page.locator(f"#{chart} canvas")
    expect(canvas).to_be_visible()
    return drawing(canvas)


def _length(page: Page, bar: int) -> float:
    """How far a bar goes, as it is drawn; 1 is to the end."""
    whole = "(e) => e.getBoundingClientRect().width / e.parentElement.getBoundingClientRect().width"
    return float(page.locator("#group .bars .bar rect:last-child").nth(bar).evaluate(whole))


def _report(visitors: Visitors) -> BasisReport:
    with visitors.server.client(scope="read") as client:
        answer = client.get(f"/v1/bases/{BASIS}/versions/1/files/{REPORT_FILE}")
    answer.raise_for_status()
    return BasisReport.model_validate_json(answer.content)
