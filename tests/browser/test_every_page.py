"""What holds for every page, in light and dark, on a desk and on a phone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from support.accessibility import grave_findings, tab_stops
from support.dashboard import PAGES
from support.pixels import painted
from support.visiting import PHONE, Theme, Visitors

# The widest element that sticks out of the window, for the message.
_STICKING_OUT = """() => [...document.querySelectorAll("body *")]
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
  .slice(0, 5)
  .map((e) => e.outerHTML.slice(0, 160))"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(
    visitors: Visitors, paths: dict[str, str], name: str, theme: Theme
) -> None:
    with visitors.open(*PAGES[name], theme=theme, motion=False) as visit:
        page = visit.go(paths[name])
        assert grave_findings(page) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_scrolls_no_page_sideways(
    visitors: Visitors, paths: dict[str, str], name: str
) -> None:
    with visitors.open(*PAGES[name], size=PHONE) as visit:
        page = visit.go(paths[name])
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE[0], page.evaluate(_STICKING_OUT)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_table_that_is_wider_than_a_phone_has_a_shadow_at_the_side_where_it_goes_on(
    visitors: Visitors, paths: dict[str, str], theme: Theme
) -> None:
    with visitors.open(*PAGES["tokens"], theme=theme, size=PHONE, motion=False) as visit:
        frame = visit.go(paths["tokens"]).get_by_role("region", name="Tokens that hold")

        def light(column: int) -> float:
            """How light a column of pixels is, texts and round corners left out."""
            return float(np.median(painted(frame).rgba[20:-20, column, :3]))

        left, right = 2, -3  # within the frame's line
        assert light(right) < light(left)
        frame.evaluate("(frame) => { frame.scrollLeft = frame.scrollWidth; }")
        assert light(left) < light(right)


@pytest.mark.parametrize("name", PAGES)
def test_the_tab_key_leads_everywhere_visibly_and_the_first_stop_skips_to_the_content(
    visitors: Visitors, paths: dict[str, str], name: str
) -> None:
    with visitors.open(*PAGES[name], motion=False) as visit:
        page = visit.go(paths[name])
        first, *others = tab_stops(page)
        assert first.name.startswith("Skip")
        assert [stop for stop in [first, *others] if not (stop.ringed and stop.inside)] == []
        assert [stop for stop in others if not stop.name] == []


@pytest.mark.parametrize("name", PAGES)
def test_with_scripts_off_a_page_has_its_heading_and_its_content(
    visitors: Visitors, paths: dict[str, str], name: str
) -> None:
    with visitors.open(*PAGES[name], scripts=False) as visit:
        page = visit.go(paths[name])
        assert page.locator("h1").count() == 1
        assert page.locator("main").inner_text().count("\n") >= 1
        hidden = page.locator("button.copy:visible, #theme-toggle:visible")
        assert hidden.count() == 0


@pytest.mark.parametrize("name", PAGES)
def test_headings_are_in_order_and_titles_tell_pages_apart(
    visitors: Visitors, paths: dict[str, str], name: str
) -> None:
    with visitors.open(*PAGES[name]) as visit:
        page = visit.go(paths[name])
        levels = page.evaluate(
            "[...document.querySelectorAll('h1,h2,h3,h4')].map((e) => Number(e.tagName[1]))"
        )
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        assert page.title().endswith("SparseGrad")
