"""A page that holds all it shows, whatever it is told to say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from support.html_pages import assert_complete, drawings, parsed

from sparsegrad_client.report.page import Numbers, Picture, Report, Section, page

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><title>{}</title></svg>'
FOREIGN = "<script src=//example.org/x>\"'&</title></style>"


def html(report: Report) -> str:
    return "\n".join(page(report, lambda picture: SVG.format(picture.name)))


def report(text: str = "text", sections: int = 2) -> Report:
    parts = [
        text,
        Picture("picture", text, Figure),
        Numbers(text, ("column", text), [("cell", text), ("other", "cell")]),
    ]
    return Report(text, {text: text}, [Section(text, parts) for _ in range(sections)])


def test_a_page_asks_for_nothing_and_runs_nothing() -> None:
    found = parsed(html(report()))
    assert_complete(found)
    (policy,) = (
        meta.attributes["content"]
        for meta in found.of("meta")
        if meta.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'")


def test_what_comes_from_elsewhere_is_text() -> None:
    found = parsed(html(report(FOREIGN)))
    assert_complete(found)
    assert found.texts("h1") == [FOREIGN]
    assert found.texts("title")[0] == FOREIGN
    for tag in ("h2", "p", "caption", "figcaption", "dd", "dt"):
        assert set(found.texts(tag)) == {FOREIGN}
    assert found.of("img")[0].attributes["alt"] == FOREIGN


@given(st.text(max_size=50))
def test_any_text_leaves_the_page_whole(text: str) -> None:
    found = parsed(html(report(text)))
    assert_complete(found)
    assert len(found.of("section")) == 2
    assert len(found.of("tr")) == 6


def test_every_picture_is_drawn_in_its_place_and_said_in_words() -> None:
    found = parsed(html(report("words")))
    assert [drawing[0].text for drawing in drawings(found)] == ["picture", "picture"]
    assert all(image.attributes["alt"] == "words" for image in found.of("img"))


def test_several_parts_are_linked_from_above_one_is_not() -> None:
    several, one = parsed(html(report(sections=3))), parsed(html(report(sections=1)))
    assert [link.attributes["href"] for link in several.of("a")] == [
        "#part-0",
        "#part-1",
        "#part-2",
    ]
    assert not one.of("nav")


def test_what_scrolls_on_a_narrow_screen_can_have_the_focus() -> None:
    regions = parsed(html(report(sections=1))).of("div")
    assert len(regions) == 2  # the picture and the table
    assert all(region.attributes["tabindex"] == "0" for region in regions)
    assert all(region.attributes["aria-label"] for region in regions)
