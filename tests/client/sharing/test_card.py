"""The card of a basis: metadata that a hub reads, and text that does what it says."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.bases import MadeBasis, Shape, made

from sparsegrad_client.sharing.card import write_card
from sparsegrad_shared.bases import REPORT_FILE
from sparsegrad_shared.report import BasisReport


def card_of(basis: MadeBasis) -> str:
    report = BasisReport.model_validate_json(basis.files[REPORT_FILE])
    return write_card(basis.manifest, report)


def metadata_of(card: str) -> dict[str, object]:
    _, front, _ = card.split("---\n", 2)
    found = yaml.safe_load(front)
    assert isinstance(found, dict)
    return found


def test_a_hub_reads_its_metadata(basis: MadeBasis) -> None:
    assert metadata_of(card_of(basis)) == {
        "library_name": "sparsegrad",
        "base_model": "acme/tiny-bert",
        "license": "unknown",
        "tags": ["sparsegrad", "peft"],
    }


@pytest.mark.parametrize("model", ["./my model", "/home/me/model", "a/b/c", "x" * 200, "a\nb"])
def test_a_model_that_no_hub_knows_is_not_linked_to(model: str) -> None:
    assert "base_model" not in metadata_of(card_of(made(1, model=model)))


def test_it_says_what_the_basis_is(basis: MadeBasis) -> None:
    card = card_of(basis)
    assert basis.digest in card
    assert "| up | 1 | 12 x 8 | 5 | 4 | 4 |" in card
    assert "| up | 1.00% | - | - | - | 1 gradients |" in card


def test_the_same_basis_gives_the_same_card(basis: MadeBasis) -> None:
    assert card_of(basis) == card_of(basis)


@given(text=st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=60))
def test_no_name_adds_metadata_rows_or_markup(text: str) -> None:
    plain = card_of(made(1, [Shape()], model="acme/model", dataset="x"))
    card = card_of(made(1, [Shape()], model=f"{text}<script>|`", dataset=text))
    assert set(metadata_of(card)) <= {"library_name", "base_model", "license", "tags"}
    assert len(card.splitlines()) in (len(plain.splitlines()), len(plain.splitlines()) - 1)
    assert not re.search(r"(?<!\\)<script", card)
    for line in card.splitlines():
        if line.startswith(("| model", "| data set")):
            assert len(re.findall(r"(?<!\\)\|", line)) == 3
