"""The list of bases: what it finds, what it says when it finds nothing, whom it shows what."""

from __future__ import annotations

import re

import httpx
import pytest
from support.bases import made, publish
from support.browsers import sign_in, texts_to_copy, words_of
from support.command_lines import check, commands_in
from support.shelf import MARKUP, SECRET, Shelf

ALL = ["team/many@1", "team/marked@1", "team/tiny@2", "team/tiny@1"]


def titles(answer: httpx.Response) -> list[str]:
    """The bases that a list shows, in its order."""
    return [words_of(each).replace(" ", "") for each in re.findall(
        r'<a class="row-title"[^>]*>(.*?)</a>', answer.text, re.DOTALL
    )]  # fmt: skip


def test_all_that_a_token_sees_is_listed_newest_first(reader: httpx.Client) -> None:
    answer = reader.get("/bases")
    assert answer.status_code == 200
    assert titles(answer) == ALL
    said = words_of(answer.text)
    for part in (
        ":prod",
        "pinned",
        "nightly",
        "kept",
        "96 groups of 12 \N{MULTIPLICATION SIGN} 8",
        "just now",
    ):
        assert part in said, part
    assert re.search(r"\d+\.\d kB", said)


def test_another_namespace_is_not_listed_nor_proposed(shelf: Shelf, reader: httpx.Client) -> None:
    assert SECRET not in reader.get("/bases?q=secret").text
    assert "other/" not in reader.get("/bases?namespace=other").text
    with sign_in(shelf.service, "*") as everywhere:
        assert titles(everywhere.get("/bases?namespace=other")) == ["other/secret@1"]
        assert SECRET in everywhere.get("/bases").text


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"q": "TINY"}, ALL[2:]),
        ({"q": "many tiny"}, []),
        ({"q": " nightly "}, ["team/tiny@1"]),
        ({"q": "<script>"}, ["team/marked@1"]),
        ({"q": "100%"}, []),
        ({"model": MARKUP}, ["team/marked@1"]),
        ({"dataset": "data"}, ["team/many@1", *ALL[2:]]),
        ({"shape": "8x12"}, ["team/tiny@1"]),
        ({"shape": "*x8 8x*"}, ["team/tiny@1"]),
        ({"tag": "nightly kept"}, ["team/tiny@1"]),
        ({"tag": "nightly absent"}, []),
        ({"alias": "prod"}, ["team/tiny@1"]),
        ({"name": "team/tiny"}, ALL[2:]),
        ({"namespace": "team", "q": "", "shape": "  "}, ALL),
    ],
)
def test_every_filter_finds_what_it_says(
    reader: httpx.Client, asked: dict[str, str], found: list[str]
) -> None:
    answer = reader.get("/bases", params=asked)
    assert answer.status_code == 200
    assert titles(answer) == found
    assert ("Nothing matches" in answer.text) == (found == [])


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("shape", "wide", "such as 3072x768"),
        ("name", "no-slash", "such as team/minilm-cola"),
        ("tag", "<b>", "Expected words of letters"),
        ("alias", "a b", "Expected one word"),
        ("namespace", "../x", "Expected a namespace"),
        ("q", "word " * 30, "words"),
    ],
)
def test_what_cannot_be_is_told_at_its_field(
    shelf: Shelf, field: str, value: str, said: str
) -> None:
    with sign_in(shelf.service, "*") as browser:
        answer = browser.get("/bases", params={field: value})
    assert answer.status_code == 422
    complaint = re.search(f'<p class="error" id="error-{field}">(.*?)</p>', answer.text)
    assert complaint is not None
    assert said in complaint[1]
    of_field = answer.text.split(f'id="field-{field}"')[1].split(">")[0]
    assert 'aria-invalid="true"' in of_field
    assert f'aria-describedby="error-{field}"' in of_field
    assert titles(answer) == []


def test_the_address_to_share_holds_what_was_asked_and_no_more(reader: httpx.Client) -> None:
    answer = reader.get("/bases", params={"q": "tiny", "tag": "", "alias": "prod", "other": "x"})
    assert answer.headers["hx-replace-url"] == "/bases?q=tiny&alias=prod"
    assert reader.get("/bases").headers["hx-replace-url"] == "/bases"
    for field, value in (("q", "tiny"), ("alias", "prod")):
        assert f'value="{value}"' in answer.text.split(f'id="field-{field}"')[1].split(">")[0]


def test_texts_of_a_basis_are_text(reader: httpx.Client) -> None:
    for path in ("/bases", f"/bases?q={MARKUP}", "/bases?q=marked"):
        answer = reader.get(path)
        assert "<script>alert" not in answer.text
        assert "&lt;script&gt;alert" in answer.text


def test_the_first_and_the_next_page_are_one_link_away(shelf: Shelf) -> None:
    with shelf.service.client("crowd") as client:
        for seed in range(27):
            publish(client, "crowd/same", made(seed))
    with sign_in(shelf.service, "crowd") as browser:
        first = browser.get("/bases?model=tiny")
        (older,) = re.findall(r'href="([^"]+)" rel="next"', first.text)
        assert len(titles(first)) == 25
        assert "First page" not in first.text
        last = browser.get(older.replace("&amp;", "&"))
        assert titles(first) + titles(last) == [f"crowd/same@{n}" for n in range(27, 0, -1)]
        assert 'href="/bases?model=tiny">First page' in last.text
        assert browser.get("/bases?after=nonsense").status_code == 422


def test_a_namespace_without_bases_is_told_how_to_make_one(shelf: Shelf) -> None:
    with sign_in(shelf.service, "new-team") as browser:
        answer = browser.get("/bases")
        assert "No basis yet" in answer.text
        assert "--name new-team/" in answer.text
        assert f"SPARSEGRAD_SERVER={shelf.service.url}" in answer.text
        shown = commands_in(texts_to_copy(answer.text))
        assert [line.split()[1] for line in shown] == ["calibrate"]
        check(shown[0])
        assert "Nothing matches" in browser.get("/bases?q=x").text


def test_pages_bear_the_policy_of_pages(shelf: Shelf, reader: httpx.Client) -> None:
    answer = reader.get("/bases")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "no-store" in answer.headers["cache-control"]
    assert not re.search(r"<[^>]+ (style|on\w+)=", answer.text)
