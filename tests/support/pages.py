"""The pages of the docs as tests see them: fenced blocks, each to be run, parsed, or compared.

What a block is follows from its language:

===================  ===============================================================================
`sh`                 runs in bash, in the page's folder; what it exports holds for the blocks after
`python`             runs; all Python of a page is one program
`text`               what the block before it prints, but for numbers; a line ``…`` stands for any
`json yaml toml`     is parsed
===================  ===============================================================================

A block that is not run says so in a comment right before it, with the reason::

    <!-- not run: needs four GPUs -->

Its commands still have to be ones that there are, and its Python has to compile. In the same way
``<!-- varies: why -->`` stands before an output that is not compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))
]  # fmt: skip

RUN = ("sh", "python")
PARSED = ("json", "yaml", "toml")
LANGUAGES = (*RUN, *PARSED, "text")

_BLOCK = re.compile(
    r"^(?:(?P<indent> *)<!-- (?:not run|varies): (?P<reason>.+?) -->\n+)?"
    r"^(?P<margin> *)```(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=margin)```$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"```.*?^ *```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: the page's file.
        line: where the code begins, from 1.
        language: what stands after the fence.
        code: what is in it, without the margin.
        reason: why it is not run, or not compared; None when it is.
    """

    page: Path
    line: int
    language: str
    code: str
    reason: str | None

    @property
    def runs(self) -> bool:
        """Whether a test runs it."""
        return self.language in RUN and self.reason is None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in their order, but for Sphinx's own (```` ```{toctree} ````)."""
    return [found for found in _all_blocks(page) if not found.language.startswith("{")]


def links(page: Path) -> list[str]:
    """What a page links to, without what only looks like it in code."""
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    return [found["target"] for found in _LINK.finditer(text)]


def _all_blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        margin = found["margin"]
        lines = found["code"].splitlines(keepends=True)
        yield Block(
            page=page,
            line=text.count("\n", 0, found.start("code")) + 1,
            language=found["language"],
            code="".join(line.removeprefix(margin) for line in lines),
            reason=found["reason"],
        )
