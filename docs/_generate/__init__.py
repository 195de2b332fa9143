"""The parts of the reference that are made from the code, while the site is built.

A page says where such a part goes by a comment of its own line, ``<!-- generated: name argument
... -->``. In its place comes the Markdown that the function of that name, below, gives for the
arguments. So a page is complete on the site, and nothing generated is kept in the repository.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sphinx.errors import SphinxError

from . import commands, errors, http, members, python

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PARTS: Mapping[str, Callable[..., str]] = {
    "commands": commands.markdown,
    "docstring": members.docstring,
    "errors": errors.markdown,
    "exit-codes": commands.exit_codes,
    "members": members.markdown,
    "python": python.markdown,
    "routes": http.routes,
    "schemas": http.schemas,
}
MARKER = re.compile(r"^<!-- generated: (?P<words>.+?) -->$", re.MULTILINE | re.DOTALL)


class UnknownPart(SphinxError):
    """A marker that names nothing that can be generated."""


def fill_in(text: str, page: str) -> str:
    """A page with its generated parts in the place of their markers.

    Args:
        text: the page as it is kept.
        page: its name, for the message of an error.

    Raises:
        UnknownPart: when a marker names a part, or what a part is of, that there is not.
    """

    def part(match: re.Match[str]) -> str:
        name, *arguments = match["words"].split()
        if name not in PARTS:
            expected = ", ".join(sorted(PARTS))
            raise UnknownPart(f"{page}: {match[0]!r}: expected one of {expected}; got {name!r}")
        try:
            return PARTS[name](*arguments)
        except (AttributeError, ImportError, KeyError, TypeError) as error:
            raise UnknownPart(f"{page}: {match[0]!r}: there is no such thing: {error}") from error

    return MARKER.sub(part, text)


def setup(app: Sphinx) -> Mapping[str, bool]:
    """Have Sphinx fill in each page as it reads it."""

    def on_source_read(_: Sphinx, page: str, source: list[str]) -> None:
        source[0] = fill_in(source[0], page)

    app.connect("source-read", on_source_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
