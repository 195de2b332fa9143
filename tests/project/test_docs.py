"""The pages are true and hang together: links lead somewhere, commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.command_lines import check, commands_in, help_texts

ROOT = Path(__file__).parents[2]
HELP = help_texts()
PAGES = sorted((ROOT / "docs").glob("*.md"))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]


def _links(page: Path) -> set[str]:
    """What a page links to within the project, without the place on the page."""
    found = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    return {link for link in found if "://" not in link}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    assert [link for link in sorted(_links(page)) if not (page.parent / link).is_file()] == []


def test_the_readme_leads_to_every_page() -> None:
    assert {f"docs/{page.name}" for page in PAGES} <= _links(ROOT / "README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_shows_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for line in commands_in("".join(block for language, block in blocks if language in ("", "sh"))):
        check(line)


@pytest.mark.parametrize("called", HELP)
def test_the_help_of_every_command_shows_how_to_call_it(called: str) -> None:
    examples = commands_in(HELP[called])
    assert any(example.startswith(called) for example in examples)
    for example in examples:
        check(example)
