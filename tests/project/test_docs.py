"""The pages hang together: links lead somewhere, and each page can be found."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.command_lines import check, commands_in, help_texts
from support.pages import DOCS, PAGES, ROOT, links

from sparsegrad_shared.terminal.exits import FOUND_DAMAGE

HELP = help_texts()
_SLUG = re.compile(r"[^\w\- ]")


def _anchors(page: Path) -> set[str]:
    """The anchors that the headings of a page make, as Sphinx and most forges do."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {_SLUG.sub("", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.is_file(), f"{page.name}: {link}"
        if anchor:
            assert anchor in _anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_elsewhere_is_an_address_over_tls(page: Path) -> None:
    for link in links(page):
        if "://" in link:
            address = urlsplit(link)
            assert (address.scheme, bool(address.hostname)) == ("https", True), link


def test_the_readme_leads_to_every_page() -> None:
    pages = {f"docs/{page.name}" for page in DOCS.glob("*.md")}
    assert pages <= set(links(ROOT / "README.md"))


def test_the_operators_page_says_how_check_ends_and_how_gc_goes_without_a_person() -> None:
    page = (DOCS / "operating.md").read_text(encoding="utf-8")
    assert re.search(rf"Its exit\s+code is {FOUND_DAMAGE} if anything is", page)
    shown = [it for it in commands_in(page) if it.startswith("sparsegrad-server gc --data")]
    assert [it.split()[-1] for it in shown] == ["--dry-run", "--yes"]


@pytest.mark.parametrize("called", HELP)
def test_the_help_of_every_command_shows_how_to_call_it(called: str) -> None:
    examples = commands_in(HELP[called])
    assert any(example.startswith(called) for example in examples)
    for example in examples:
        check(example)
