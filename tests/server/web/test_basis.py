"""One basis: what its page says, and to whom."""

from __future__ import annotations

import json
import re

import httpx
import pytest
from support.browsers import sign_in, texts_to_copy, words_of
from support.command_lines import check, commands_in
from support.shelf import GROUPS, MARKUP, Shelf

from sparsegrad_shared.bases import REPORT_FILE
from sparsegrad_shared.report import BasisReport

TINY = "/bases/team/tiny"


def drawn(page: str) -> dict[str, object]:
    """What the scripts of a page draw."""
    (text,) = re.findall(r'<script type="application/json" id="group-data">(.*?)</script>', page)
    found: dict[str, object] = json.loads(text)
    return found


def test_a_name_leads_to_its_latest_version(reader: httpx.Client) -> None:
    answer = reader.get(TINY)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{TINY}/2")


def test_an_alias_shows_what_it_names_at_present(reader: httpx.Client) -> None:
    answer = reader.get(f"{TINY}/prod")
    assert "<h1>team/tiny@1</h1>" in answer.text
    assert "names this version at present" in answer.text
    assert f'href="{TINY}/prod?group=down#group"' in answer.text


def test_its_lineage_versions_marks_and_aliases_are_there(
    shelf: Shelf, reader: httpx.Client
) -> None:
    answer = reader.get(f"{TINY}/1")
    said = words_of(answer.text)
    for part in (
        shelf.digests["team/tiny@1"], "TinyModel", "Fingerprint 1", "Version 2", "pinned",
        "nightly", ":prod names version 1", f"version 2, by {MARKUP}", f"version 1, by {MARKUP}",
    ):  # fmt: skip
        assert part in said, part
    assert re.search(r'href="/calibrations/[\w-]+"', answer.text)
    assert "it was imported" in words_of(reader.get("/bases/team/marked/1").text)


@pytest.mark.parametrize("group", ["up", "down"])
def test_the_pictures_are_drawn_from_the_report(
    shelf: Shelf, reader: httpx.Client, group: str
) -> None:
    with shelf.service.client(scope="read") as client:
        answer = client.get(f"/v1/bases/team/tiny/versions/1/files/{REPORT_FILE}")
    report = BasisReport.model_validate_json(answer.content)
    (wanted,) = (each for each in report.groups if each.name == group)
    page = reader.get(f"{TINY}/1", params={"group": group}).text
    fields = {"density", "spectrum_in", "spectrum_out", "sample"}
    assert drawn(page) == wanted.model_dump(mode="json", include=fields)
    assert wanted.basis is not None
    assert wanted.original is not None
    said = words_of(page.split('<section id="group"')[1])
    assert f"In the basis {100 * wanted.basis.energy:.1f}%" in said
    assert f"Original space {100 * wanted.original.energy:.1f}%" in said
    assert f"90% in {wanted.spectrum_in.rank_90} of" in said


def test_what_was_not_judged_is_said_not_to_be(reader: httpx.Client) -> None:
    said = words_of(reader.get(f"{TINY}/2").text)
    assert "no held-out gradients to judge it on" in said
    assert "It was not judged" in said
    assert "There is no held-out gradient to show" in said
    assert "the leading 4" in said
    older = words_of(reader.get("/bases/team/marked/1").text)
    assert "made before gradients were pictured" in older


def test_of_many_groups_one_is_shown_and_the_others_are_a_pick_away(reader: httpx.Client) -> None:
    page = reader.get("/bases/team/many/1?group=layer.95").text
    assert len(re.findall(r"<option", page)) == GROUPS
    assert "<option selected>layer.95</option>" in page
    assert '<h2 id="group-title">layer.95</h2>' in page
    assert len(re.findall('id="group-title"', page)) == 1


def test_what_it_says_to_run_can_be_run(shelf: Shelf, reader: httpx.Client) -> None:
    for path, name in ((f"{TINY}/1", "team/tiny@1"), ("/bases/team/marked/1", "team/marked@1")):
        shown = texts_to_copy(reader.get(path).text)
        assert f'fetch_basis("{name}")' in shown
        assert f"SPARSEGRAD_SERVER={shelf.service.url}" in shown
        python = shown[: shown.index("sparsegrad-client")]
        compile(python, path, "exec")
    lines = commands_in(texts_to_copy(reader.get(f"{TINY}/2").text))
    lines += commands_in(texts_to_copy(reader.get("/bases/team/many/1").text))
    assert {line.split()[1] for line in lines} == {"train", "bases"}
    for line in lines:
        check(line)


def test_texts_of_a_lineage_are_text(reader: httpx.Client) -> None:
    for path in ("/bases/team/marked/1", f"{TINY}/1", f"{TINY}/1?group={MARKUP}"):
        answer = reader.get(path)
        assert "<script>alert" not in answer.text, path
        assert "&lt;script&gt;alert" in answer.text, path
        assert not re.search(r"<[^>]+ (style|on\w+)=", answer.text)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (f"{TINY}/3", "version"),
        (f"{TINY}/staging", "prod"),
        ("/bases/team/nothing/1", "No basis is published as team/nothing"),
        ("/bases/team/nothing", "No basis is published as team/nothing"),
        (f"{TINY}/1?group=sideways", "up, down"),
        ("/bases/other/secret/1", "No basis is published as other/secret"),
        ("/bases/other/secret", "No basis is published as other/secret"),
    ],
)
def test_what_is_not_there_is_a_page_that_says_what_is(
    reader: httpx.Client, path: str, said: str
) -> None:
    answer = reader.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert said in words_of(answer.text)
    assert 'href="/bases"' in answer.text


def test_a_foreign_token_learns_nothing_by_alias_or_number(shelf: Shelf) -> None:
    with sign_in(shelf.service, "rivals", "admin") as rival:
        known = [rival.get(f"{TINY}/{which}") for which in ("1", "2", "99", "prod", "none")]
        unknown = rival.get("/bases/team/none/1")
        for answer in (*known, unknown):
            assert answer.status_code == 404
            assert "did you mean" not in answer.text
            assert shelf.digests["team/tiny@1"] not in answer.text
        assert {words_of(each.text).split("Request")[0] for each in known} == {
            words_of(unknown.text).split("Request")[0].replace("team/none", "team/tiny")
        }
