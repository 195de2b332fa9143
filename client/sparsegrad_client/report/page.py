"""A page that holds all it shows: no script, no request, light or dark as the reader's system is.

Whatever comes from elsewhere is escaped. Pictures are SVG in `img` elements, which browsers load
without scripts and without requests; the page's own policy (CSP) forbids both once more.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A picture that is drawn when its turn comes, so that only one is in memory.

    Attributes:
        name: what its file is called, without a suffix.
        caption: what it shows; stands below it, and in its place for those who do not see it.
        draw: gives the figure.
    """

    name: str
    caption: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Numbers:
    """A table.

    Attributes:
        title: above it.
        columns: their names.
        rows: a text for each column.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A part of a report: paragraphs, pictures and tables under a title."""

    title: str
    parts: Sequence[str | Picture | Numbers]


@dataclass(frozen=True)
class Report:
    """What a report says.

    Attributes:
        title: its heading.
        facts: what it is about, by label.
        sections: its parts; links to them stand above where there are several.
    """

    title: str
    facts: Mapping[str, str]
    sections: Sequence[Section]

    @property
    def pictures(self) -> list[Picture]:
        """Its pictures, in order."""
        parts = (part for section in self.sections for part in section.parts)
        return [part for part in parts if isinstance(part, Picture)]


_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --muted: #59636e; --lines: #d1d9e0;
  --paper: #ffffff; --link: #0550ae; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --muted: #9198a1; --lines: #3d444d;
  --paper: #0d1117; --link: #79c0ff; } }
body { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; overflow-wrap: anywhere; }
a { color: var(--link); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.25rem; margin: 1rem 0; }
dt, figcaption, footer { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1.25rem 0; }
figure .wide { margin: 0; }
img { width: 100%; height: auto; }
figcaption { font-size: .9rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0; list-style: none; }
.wide { overflow-x: auto; margin: 1.25rem 0; }
.wide img { min-width: 40rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
caption { text-align: left; font-weight: 600; padding: .5rem 0; }
th, td { padding: .3rem .75rem .3rem 0; text-align: right; border-bottom: 1px solid var(--lines); }
th:first-child, td:first-child { text-align: left; }
footer { margin-top: 3rem; font-size: .9rem; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


_FOOTER = "Written by sparsegrad-client. This page is complete: it asks nothing of any server."

Draw = Callable[[Picture], str]


def page(report: Report, draw: Draw) -> Iterator[str]:
    """The page as HTML, line after line.

    Args:
        report: what it says.
        draw: gives the SVG of a picture.
    """
    title = escape(report.title)
    yield from (
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        f"<header><h1>{title}</h1>",
        "<dl>",
        *(f"<dt>{escape(name)}</dt><dd>{escape(fact)}</dd>" for name, fact in report.facts.items()),
        "</dl>",
        *_contents(report.sections),
        "</header>",
        "<main>",
    )
    for number, section in enumerate(report.sections):
        yield f'<section id="part-{number}"><h2>{escape(section.title)}</h2>'
        for part in section.parts:
            yield from _part(part, draw)
        yield "</section>"
    yield from ("</main>", f"<footer>{_FOOTER}</footer>", "</body>", "</html>")


def _contents(sections: Sequence[Section]) -> list[str]:
    if len(sections) < 2:
        return []
    links = (
        f'<li><a href="#part-{number}">{escape(section.title)}</a></li>'
        for number, section in enumerate(sections)
    )
    return ['<nav aria-label="Parts of this page"><ul>', *links, "</ul></nav>"]


def _part(part: str | Picture | Numbers, draw: Draw) -> Iterator[str]:
    if isinstance(part, str):
        yield f"<p>{escape(part)}</p>"
    elif isinstance(part, Picture):
        caption = escape(part.caption)
        source = base64.b64encode(draw(part).encode()).decode()
        yield f"<figure>{_wide(caption)}"
        yield f'<img src="data:image/svg+xml;base64,{source}" alt="{caption}"></div>'
        yield f"<figcaption>{caption}</figcaption></figure>"
    else:
        yield from _table(part)


def _table(numbers: Numbers) -> Iterator[str]:
    title = escape(numbers.title)
    yield f"{_wide(title)}<table><caption>{title}</caption>"
    head = (f'<th scope="col">{escape(column)}</th>' for column in numbers.columns)
    yield f"<thead><tr>{''.join(head)}</tr></thead>"
    yield "<tbody>"
    for row in numbers.rows:
        yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
    yield "</tbody></table></div>"


def _wide(title: str) -> str:
    """What scrolls on a narrow screen: the keyboard reaches it only if it can have the focus."""
    return f'<div class="wide" role="region" aria-label="{title}" tabindex="0">'
