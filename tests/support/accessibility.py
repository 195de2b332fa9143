"""What axe-core finds on a page, and where the Tab key leads."""

from __future__ import annotations

from dataclasses import dataclass

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_GRAVE = ("serious", "critical")
_AXE = Axe()

# A field that has the focus from the start would have the walk begin in the middle.
_TO_THE_TOP = """() => {
  document.body.tabIndex = -1;
  document.body.focus();
  document.body.removeAttribute("tabindex");
}"""

# What has the focus: what it is, what it is called, whether one sees that it has it.
_FOCUSED = """() => {
  const found = document.activeElement;
  if (!found || found === document.body) return null;
  const style = getComputedStyle(found);
  const ring = found.closest("li:has(:focus-visible)") ?? found;
  const drawn = getComputedStyle(ring);
  const box = found.getBoundingClientRect();
  return {
    tag: found.tagName.toLowerCase(),
    name: (found.getAttribute("aria-label") || found.innerText || found.name || "").trim(),
    ringed: [style, drawn].some((s) => s.outlineStyle !== "none" && s.outlineWidth !== "0px"),
    inside: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    x: Math.round(box.x),
    y: Math.round(box.y + scrollY),
  };
}"""


@dataclass(frozen=True)
class Stop:
    """Where the Tab key came to.

    Attributes:
        tag: the element's kind.
        name: what it is called.
        ringed: whether a line around it shows that it has the focus.
        inside: whether it is in the window.
        x: its left edge on the page, in CSS pixels.
        y: its upper edge.
    """

    tag: str
    name: str
    ringed: bool
    inside: bool
    x: int
    y: int


def grave_findings(page: Page) -> list[str]:
    """Findings of axe that it calls serious or critical, each with where it is."""
    answer = _AXE.run(page).response
    return [
        f"{rule['impact']} {rule['id']}: {rule['help']}\n  {node['html'][:200]}\n"
        f"  {node['failureSummary']}"
        for rule in answer["violations"]
        if rule["impact"] in _GRAVE
        for node in rule["nodes"]
    ]


def tab_stops(page: Page, most: int = 200) -> list[Stop]:
    """Press Tab from the top of the page until it comes out at the end."""
    stops: list[Stop] = []
    page.evaluate(_TO_THE_TOP)
    for _ in range(most):
        page.keyboard.press("Tab")
        found = page.evaluate(_FOCUSED)
        if found is None:
            return stops
        stop = Stop(**found)
        if stops and stop == stops[0]:
            return stops
        stops.append(stop)
    raise AssertionError(f"Tab leads to more than {most} places on {page.url}")
