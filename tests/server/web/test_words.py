"""Values as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_server.web import words

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1536, "1.5 kB"), (99_940, "99.9 kB"),
        (99_960, "100 kB"), (999_499, "999 kB"), (999_600, "1.0 MB"), (20_100_000, "20.1 MB"),
        (10**15, "1.0 PB"), (10**19, "10000 PB"),
    ],
)  # fmt: skip
def test_a_size_has_three_digits_and_the_largest_unit(count: int, said: str) -> None:
    assert words.size(count) == said


@given(st.integers(1, 10**15))
def test_a_size_read_back_is_near_what_it_was(count: int) -> None:
    value, unit = words.size(count).split()
    power = ("B", "kB", "MB", "GB", "TB", "PB").index(unit)
    assert float(value) * 1000**power == pytest.approx(count, rel=0.06)


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(seconds=-5), "just now"), (timedelta(seconds=59), "just now"),
        (timedelta(seconds=60), "1 minute ago"), (timedelta(hours=1.99), "1 hour ago"),
        (timedelta(days=3), "3 days ago"), (timedelta(days=45), "1 month ago"),
        (timedelta(days=800), "2 years ago"),
    ],
)  # fmt: skip
def test_an_age_is_told_in_its_largest_unit(ago: timedelta, said: str) -> None:
    assert words.age(NOW - ago, NOW) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (185, "3 min 5 s"), (3600, "1 h"),
        (7800, "2 h 10 min"), (36_000_000, "10\N{NARROW NO-BREAK SPACE}000 h"),
    ],
)  # fmt: skip
def test_a_duration_has_two_units_at_most(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


@given(st.integers(-(10**12), 10**12))
def test_a_number_keeps_its_digits(value: int) -> None:
    said = words.number(value)
    assert int(said.replace("\N{NARROW NO-BREAK SPACE}", "")) == value
    assert ("\N{NARROW NO-BREAK SPACE}" in said) == (abs(value) >= 10_000)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("no basis is published as team/x", "No basis is published as team/x."),
        ("token's time is over", "token's time is over."),
        ("team/x:prod names nothing yet", "team/x:prod names nothing yet."),
        ("did you mean team/y?", "Did you mean team/y?"),
        ("", "."),
    ],
)
def test_a_sentence_leaves_names_as_they_are(message: str, said: str) -> None:
    assert words.sentence(message) == said


def test_a_command_in_a_message_is_set_as_code_and_nothing_else_is_markup() -> None:
    said = words.with_commands("no token <b>; `sparsegrad-server token list` shows them")
    assert said == ("no token &lt;b&gt;; <code>sparsegrad-server token list</code> shows them")
    assert words.with_commands("`<script>`") == "<code>&lt;script&gt;</code>"


def test_what_is_not_known_is_a_dash() -> None:
    assert words.share(None) == words.moment(None) == "\N{EN DASH}"
    assert words.share(0.12345) == "12.3%"
    assert words.percent(0.005) == "0.5%"
    assert words.plural(1, "layer") == "1 layer"
    assert words.plural(0, "layer") == "0 layers"
    assert words.short("sha256:" + 64 * "a") == 12 * "a"
