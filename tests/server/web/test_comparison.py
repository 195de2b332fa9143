"""Two bases side by side."""

from __future__ import annotations

import json
import math
import re

import httpx
import pytest
from support.browsers import sign_in, texts_to_copy, words_of
from support.command_lines import check, commands_in
from support.shelf import MARKUP, Shelf

from sparsegrad_shared.bases import BasisDifference

A, B = "team/tiny@1", "team/tiny@2"


def ask(browser: httpx.Client, a: str, b: str) -> httpx.Response:
    return browser.get("/compare", params={"a": a, "b": b})


def test_the_angles_are_those_that_the_interface_answers(
    shelf: Shelf, reader: httpx.Client
) -> None:
    with shelf.service.client(scope="read") as client:
        path = f"/v1/bases/{shelf.digests[A]}/diff/{shelf.digests[B]}"
        (group,) = BasisDifference.model_validate_json(client.get(path).content).groups
    answer = ask(reader, A, B)
    assert answer.status_code == 200
    (text,) = re.findall(r'id="angles-data">(.*?)</script>', answer.text)
    found = json.loads(text)[group.name]
    assert found["Input"] == pytest.approx([math.degrees(angle) for angle in group.angles_in])
    assert found["Output"] == pytest.approx([math.degrees(angle) for angle in group.angles_out])
    said = words_of(answer.text)
    assert f"{100 * group.shared_in:.1f}%" in said
    assert f"{math.degrees(group.angles_out[-1]):.1f}°" in said


def test_a_basis_and_itself_are_the_same(reader: httpx.Client) -> None:
    said = words_of(ask(reader, A, "team/tiny:prod").text)
    assert "are the same basis" in said
    assert "nearly the same" in said


def test_the_form_keeps_what_was_typed_and_proposes_what_is_there(reader: httpx.Client) -> None:
    page = ask(reader, f" {A} ", "").text
    assert f'value="{A}"' in page.split('id="field-a"')[1].split(">")[0]
    assert f'<option value="{B}">' in page
    assert "/compare?a=team%2Ftiny%401&amp;b=team%2Ftiny%402" in page
    assert "b=team%2Fmany%401" not in page  # nothing in common
    assert "aria-invalid" not in page


@pytest.mark.parametrize(
    ("a", "b", "field", "said"),
    [
        ("nonsense", A, "a", "nonsense"),
        (A, "team/tiny@9", "b", "version"),
        (A, "other/secret@1", "b", "No basis is published as other/secret"),
        (A, "team/many@1", "b", "no group in common"),
        (MARKUP, A, "a", "script"),
    ],
)
def test_what_cannot_be_compared_is_told_at_its_field(
    reader: httpx.Client, a: str, b: str, field: str, said: str
) -> None:
    answer = ask(reader, a, b)
    assert answer.status_code == 422
    complaint = re.search(rf'<p class="error" id="error-{field}">(.+?)</p>', answer.text)
    assert complaint is not None
    assert said in words_of(complaint[1])
    assert 'aria-invalid="true"' in answer.text.split(f'id="field-{field}"')[1].split(">")[0]
    assert "<script>alert" not in answer.text


def test_texts_of_a_lineage_are_text(shelf: Shelf, reader: httpx.Client) -> None:
    answer = ask(reader, "team/marked@1", A)
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert" in answer.text


def test_another_namespace_s_bases_are_neither_proposed_nor_compared(shelf: Shelf) -> None:
    with sign_in(shelf.service, "rivals", "admin") as rival:
        for named in (A, shelf.digests[A]):
            answer = ask(rival, named, named)
            assert answer.status_code == 422
            assert "angles-data" not in answer.text
        assert "tiny" not in rival.get("/compare").text


def test_with_too_few_bases_it_says_how_to_make_them(shelf: Shelf) -> None:
    for namespace, said in (
        ("new-team", "There is no basis so far"),
        ("other", "one basis so far"),
    ):
        with sign_in(shelf.service, namespace) as browser:
            page = browser.get("/compare").text
        assert said in words_of(page)
        (line,) = commands_in(texts_to_copy(page))
        assert f"--name {namespace}/" in line
        check(line)


def test_texts_that_are_too_long_are_refused_in_words(reader: httpx.Client) -> None:
    answer = ask(reader, "a" * 301, "")
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/html")
