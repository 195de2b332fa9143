"""The gate: good tokens come in, bad ones wear out their address, and use is written down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from sparsegrad_server.auth import tokens
from sparsegrad_server.auth.gate import Gate, subscriber
from sparsegrad_server.auth.limits import Rate
from sparsegrad_server.auth.tokens import Token
from sparsegrad_server.auth.use import TokenUse
from sparsegrad_server.catalog import Catalog
from sparsegrad_shared.errors import Overloaded, Unauthenticated

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MANY = Rate(per_second=1000, burst=1000)
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


def new_token(catalog: Catalog, **changes: datetime) -> Token:
    with catalog.writing() as session:
        return tokens.create(session, "ci", "team", "read", NOW, **changes)


def revoked(catalog: Catalog) -> str:
    token = new_token(catalog)
    with catalog.writing() as session:
        tokens.revoke(session, token.id, NOW)
    return token.secret


def test_a_token_is_let_in_until_its_bucket_is_empty(catalog: Catalog) -> None:
    gate = Gate(catalog, Rate(per_second=1, burst=2), MANY)
    secret, other = new_token(catalog).secret, new_token(catalog).secret
    answers = [gate.enter(secret, HERE, NOW, 0.0)[1] for _ in range(3)]
    assert [answer.granted for answer in answers] == [True, True, False]
    assert [answer.remaining for answer in answers] == [1, 0, 0]
    assert answers[2].retry_after == pytest.approx(1.0)
    assert gate.enter(other, HERE, NOW, 0.0)[1].granted
    assert gate.enter(secret, HERE, NOW, 1.0)[1].granted


def test_an_address_that_guesses_has_to_wait_and_others_do_not(catalog: Catalog) -> None:
    gate = Gate(catalog, MANY, Rate(per_second=0.1, burst=3))
    bad, good = revoked(catalog), new_token(catalog).secret
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            gate.enter(bad, HERE, NOW, 0.0)
    with pytest.raises(Overloaded) as refusal:
        gate.enter(good, HERE, NOW, 0.0)
    assert refusal.value.retry_after == pytest.approx(10.0)
    gate.enter(good, ELSEWHERE, NOW, 0.0)
    gate.enter(good, HERE, NOW, 11.0)


def test_who_was_let_in_stays_in_whatever_others_do_at_the_same_address(catalog: Catalog) -> None:
    gate = Gate(catalog, MANY, Rate(per_second=0.1, burst=1))
    bad, good = revoked(catalog), new_token(catalog)
    gate.enter(good.secret, HERE, NOW, 0.0)
    with pytest.raises(Unauthenticated):
        gate.enter(bad, HERE, NOW, 0.0)
    with pytest.raises(Overloaded):
        gate.enter(bad, HERE, NOW, 0.0)
    gate.enter(good.secret, HERE, NOW, 0.0)
    with catalog.writing() as session:
        tokens.revoke(session, good.id, NOW)
    with pytest.raises(Unauthenticated, match="revoked"):
        gate.enter(good.secret, HERE, NOW, 0.0)
    with pytest.raises(Overloaded):
        gate.enter(good.secret, HERE, NOW, 0.0)


def test_what_is_no_token_costs_no_look_and_counts_for_nothing(tmp_path: Path) -> None:
    unusable = Catalog(f"sqlite:///{tmp_path / 'absent' / 'catalog.sqlite'}")
    gate = Gate(unusable, MANY, Rate(per_second=0.1, burst=1))
    for _ in range(5):
        with pytest.raises(Unauthenticated, match="no token of SparseGrad"):
            gate.enter("sg_" + 49 * "A", HERE, NOW, 0.0)


@pytest.mark.parametrize(
    ("address", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_one_subscriber_is_one_whichever_address_he_takes(address: str, same: str) -> None:
    assert subscriber(address) == subscriber(same)


def test_other_subscribers_are_others() -> None:
    apart = ["192.0.2.1", "192.0.2.2", "2001:db8:1:2::1", "2001:db8:1:3::1", "a socket's name"]
    assert len({subscriber(address) for address in apart}) == len(apart)


def last_use(catalog: Catalog, token: Token) -> datetime | None:
    with catalog.reading() as session:
        return tokens.get(session, token.id).last_used


def test_use_is_written_when_asked_for_not_when_noted_and_never_goes_back(
    catalog: Catalog,
) -> None:
    token, idle = new_token(catalog), new_token(catalog)
    gate = Gate(catalog, MANY, MANY)
    gate.enter(token.secret, HERE, NOW, 0.0)
    assert last_use(catalog, token) is None
    gate.use.write()
    assert last_use(catalog, token) == NOW
    assert last_use(catalog, idle) is None
    late = TokenUse(catalog)
    late.note(token.id, NOW - timedelta(hours=1))
    late.write()
    assert last_use(catalog, token) == NOW


def test_what_was_noted_is_written_when_the_server_stops(catalog: Catalog) -> None:
    token, use = new_token(catalog), TokenUse(catalog)
    use.start()
    use.note(token.id, NOW)
    use.stop()
    assert last_use(catalog, token) == NOW


def rename_tokens(catalog: Catalog, old: str, new: str) -> None:
    with catalog.writing() as session:
        session.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


def test_what_the_catalog_does_not_take_is_kept_for_the_next_time(catalog: Catalog) -> None:
    first, second, use = new_token(catalog), new_token(catalog), TokenUse(catalog)
    use.note(first.id, NOW)
    use.note(second.id, NOW)
    rename_tokens(catalog, "tokens", "away")
    with pytest.raises(SQLAlchemyError):
        use.write()
    rename_tokens(catalog, "away", "tokens")
    use.note(second.id, NOW + timedelta(minutes=1))
    use.write()
    assert last_use(catalog, first) == NOW
    assert last_use(catalog, second) == NOW + timedelta(minutes=1)
