"""The list of bases: searched and filtered while one types, shared by its address."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect
from support.dashboard import BASIS, LAYERS, SECRET, TAGS
from support.visiting import Visit, Visitors


def test_typing_narrows_the_list_and_the_address_says_so(reader: Visit) -> None:
    page = reader.go("/bases")
    expect(_titles(page)).to_have_count(3)
    page.get_by_label("Search").press_sequentially("layers")
    expect(_titles(page)).to_have_text([f"{LAYERS}@1"])
    page.wait_for_url("**/bases?q=layers")
    page.get_by_label("Search").fill("")
    expect(_titles(page)).to_have_count(3)
    page.wait_for_url("**/bases")


def test_an_address_that_was_shared_shows_the_same_to_somebody_else(
    reader: Visit, visitors: Visitors
) -> None:
    page = reader.go("/bases")
    page.get_by_text("More filters").click()
    page.get_by_label("Shape of a weight").press_sequentially("384x1536")
    page.get_by_label("Alias").press_sequentially("prod")
    expect(_titles(page)).to_have_text([f"{BASIS}@1"])
    page.wait_for_url(re.compile(r"shape=384x1536.*alias=prod"))
    with visitors.open("write") as other:
        seen = other.go(reader.path)
        expect(_titles(seen)).to_have_text([f"{BASIS}@1"])
        expect(seen.get_by_label("Shape of a weight")).to_have_value("384x1536")


def test_the_same_search_works_with_scripts_off(visitors: Visitors) -> None:
    with visitors.open("read", scripts=False) as visit:
        page = visit.go("/bases")
        page.get_by_label("Search").fill("layers")
        page.get_by_role("button", name="Search").click()
        expect(_titles(page)).to_have_text([f"{LAYERS}@1"])
        assert "q=layers" in visit.path


def test_a_tag_leads_to_all_that_has_it_and_back_leads_back(reader: Visit) -> None:
    page = reader.go("/bases")
    page.get_by_role("link", name=TAGS[0]).first.click()
    expect(_titles(page)).to_have_text([f"{BASIS}@2", f"{BASIS}@1"])
    page.go_back()
    expect(_titles(page)).to_have_count(3)


def test_a_filter_that_cannot_be_is_told_at_its_field(reader: Visit) -> None:
    page = reader.go("/bases")
    page.get_by_text("More filters").click()
    shape = page.get_by_label("Shape of a weight")
    shape.press_sequentially("wide")
    message = page.locator(f"#{shape.get_attribute('aria-describedby')}")
    expect(message).to_contain_text(re.compile(r"\w+ \w+"))
    expect(shape).to_have_value("wide")
    shape.fill("*x384")
    expect(message).to_be_empty()
    expect(_titles(page)).to_have_count(3)


def test_what_is_searched_for_is_text_and_nothing_else(reader: Visit) -> None:
    words = "<img src=x onerror=alert(1)>"
    page = reader.go("/bases")
    page.get_by_label("Search").fill(words)
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Search")).to_have_value(words)
    assert page.locator("main img").count() == 0


def test_another_namespace_is_not_there(reader: Visit) -> None:
    page = reader.go("/bases?q=secret")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    page = reader.go(f"/bases/{SECRET}/1")
    expect(page.get_by_role("heading", level=1)).to_have_text("Unknown basis")


def test_a_namespace_without_bases_is_told_how_to_make_one(visitors: Visitors) -> None:
    with visitors.open("read", namespace="empty") as visit:
        page = visit.go("/bases")
        expect(page.get_by_role("heading", name="No basis yet")).to_be_visible()
        expect(page.locator("#calibrate")).to_contain_text("sparsegrad-client calibrate")
        expect(page.locator("#calibrate")).to_contain_text("--name empty/")


def _titles(page: Page) -> Locator:
    return page.locator("#results .row-title")
