"""The quickstart's task: balanced, without leaks, and really of Python's reference."""

from __future__ import annotations

from collections import Counter
from pydoc_data.topics import topics

import pytest

from sparsegrad_client.quickstart.topics import (
    MAX_CHARACTERS,
    MIN_CHARACTERS,
    PARTS,
    passages,
    split,
)


def test_no_passage_stands_twice_or_in_two_parts() -> None:
    found = passages(topics)
    assert len({passage.text for passage in found}) == len(found)
    assert all(MIN_CHARACTERS <= len(passage.text) <= MAX_CHARACTERS for passage in found)
    assert {passage.part for passage in found} == set(PARTS)


def test_a_passage_of_two_parts_belongs_to_neither() -> None:
    shared = "This sentence stands in both of the parts of the reference."
    pages = {
        "assert": f"{shared}\n\nThis one stands in the page on assertions alone.",
        "debugger": f"{shared}\n\nAnd this one only where the debugger is explained.",
    }
    assert {passage.part for passage in passages(pages)} == {"statements", "debugger"}
    assert shared not in {passage.text for passage in passages(pages)}


@pytest.mark.parametrize("seed", [0, 1])
def test_the_split_is_balanced_and_shares_nothing(seed: int) -> None:
    trained, held = split(passages(topics), seed=seed, train=100, held_out=40)
    assert Counter(passage.part for passage in held) == dict.fromkeys(PARTS, 40)
    assert set(Counter(passage.part for passage in trained).values()) == {100}
    assert not {passage.text for passage in trained} & {passage.text for passage in held}


def test_the_split_is_the_seeds() -> None:
    found = passages(topics)
    draws = [split(found, seed=seed, train=50, held_out=20) for seed in (0, 0, 1)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_grammar_examples_tables_and_headings_are_left_out() -> None:
    page = (
        "Heading of it\n*************\n\n"
        '   stmt ::= "a" ":" suite, and so on and so on and so on\n\n'
        ">>> 1 + 1, which is an example at the prompt of Python\n2\n\n"
        "| a table | has columns of words and words and words |\n\n"
        "This is the only sentence of the page that is prose."
    )
    assert [passage.text for passage in passages({"assert": page})] == [
        "This is the only sentence of the page that is prose."
    ]
