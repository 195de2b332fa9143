"""What the docstring of a model says of it and of its members."""

from __future__ import annotations

import re
from collections.abc import Mapping

_ATTRIBUTES = re.compile(r"^Attributes:\n(?P<listed>(?:[ ]+.*\n?)+)", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^ {4}([\w, ]+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def split(docstring: str) -> tuple[str, Mapping[str, str]]:
    """The text without its section of attributes, and what that says of each."""
    listed = _ATTRIBUTES.search(docstring)
    meanings = {
        name: said
        for names, said in _ATTRIBUTE.findall(listed["listed"] if listed else "")
        for name in names.split(", ")
    }
    return _ATTRIBUTES.sub("", docstring).strip(), meanings
