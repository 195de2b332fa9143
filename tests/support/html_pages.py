"""A page as its parts, and that it holds all it shows."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

_VOID = {"meta", "img", "br", "hr", "link", "input"}
_ASKING = ("src", "href", "srcset", "action", "poster", "data", "background")
_DRAWING = "data:image/svg+xml;base64,"


@dataclass
class Element:
    """An element: its name, its attributes, the text in it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Parts(HTMLParser):
    """The elements of a page, in order; a page whose elements are not closed fails."""

    elements: list[Element] = field(default_factory=list)
    _open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def of(self, tag: str) -> list[Element]:
        """The elements of one kind."""
        return [element for element in self.elements if element.tag == tag]

    def texts(self, tag: str) -> list[str]:
        """What they say, without the white space around."""
        return [element.text.strip() for element in self.of(tag)]


def parsed(html: str) -> Parts:
    """The parts of a page."""
    parts = Parts()
    parts.feed(html)
    parts.close()
    assert not parts._open, "an element is not closed"
    return parts


def drawings(parts: Parts) -> list[ET.Element]:
    """The pictures of a page, which are SVG inside it."""
    sources = [image.attributes["src"] for image in parts.of("img")]
    assert all(source.startswith(_DRAWING) for source in sources)
    encoded = [source.removeprefix(_DRAWING) for source in sources]
    return [ET.fromstring(base64.b64decode(source)) for source in encoded]  # noqa: S314 - our own


def assert_complete(parts: Parts) -> None:
    """It runs nothing and asks for nothing, and its own links lead to parts of it."""
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & {
        element.tag for element in parts.elements
    }
    names = {element.attributes.get("id") for element in parts.elements}
    for element in parts.elements:
        assert not any(name.startswith("on") for name in element.attributes)
        for name in _ASKING:
            link = element.attributes.get(name)
            if link is not None:
                assert link.startswith(_DRAWING) or link.removeprefix("#") in names, link
    for style in parts.texts("style"):
        assert not re.search(r"url\(|@import", style)
