"""Tokens: shown once, kept as hashes, checked for scope and namespace."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from sparsegrad_server.auth import embedded, tokens
from sparsegrad_server.auth.principal import Principal
from sparsegrad_server.catalog import Catalog
from sparsegrad_server.catalog.tables import TokenRow
from sparsegrad_shared.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from sparsegrad_shared.tokens import MOST_DAYS, SCOPES, Scope

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    catalog.migrate()
    with catalog.writing() as session:
        yield session
    catalog.close()


def test_a_token_is_known_again_and_only_its_hash_is_kept(session: Session) -> None:
    token = tokens.create(session, "ci", "team", "write", NOW)
    assert tokens.verify(session, token.secret, NOW) == Principal("ci", "team", "write", token.id)
    row = session.scalars(select(TokenRow)).one()
    kept = [getattr(row, column.key) for column in TokenRow.__table__.columns]
    assert not any(token.secret in str(value) for value in kept)
    assert token.secret not in repr(token)


def test_no_two_tokens_are_alike(session: Session) -> None:
    secrets = {tokens.create(session, "ci", "team", "read", NOW).secret for _ in range(20)}
    assert len(secrets) == 20
    assert all(secret.startswith("sg_") for secret in secrets)


def test_a_mistyped_token_is_told_from_an_unknown_one(session: Session) -> None:
    secret = tokens.create(session, "ci", "team", "read", NOW).secret
    other = "B" if secret[20] == "A" else "A"
    with pytest.raises(Unauthenticated, match="copied with an error"):
        tokens.verify(session, secret[:20] + other + secret[21:], NOW)
    session.delete(session.scalars(select(TokenRow)).one())
    session.flush()
    with pytest.raises(Unauthenticated, match="not known"):
        tokens.verify(session, secret, NOW)


def test_a_token_ends_when_it_expires(session: Session) -> None:
    expires = NOW + timedelta(days=1)
    secret = tokens.create(session, "ci", "team", "read", NOW, expires).secret
    assert tokens.verify(session, secret, expires - timedelta(seconds=1)).name == "ci"
    with pytest.raises(Unauthenticated, match="expired at 2026-01-02"):
        tokens.verify(session, secret, expires)


def test_no_token_lives_for_longer_than_tokens_may(session: Session) -> None:
    latest = NOW + timedelta(days=MOST_DAYS)
    tokens.create(session, "ci", "team", "read", NOW, latest)
    with pytest.raises(InvalidInput, match=f"within {MOST_DAYS} days"):
        tokens.create(session, "ci", "team", "read", NOW, latest + timedelta(seconds=1))


def test_a_token_ends_when_it_is_revoked_and_stays_listed(session: Session) -> None:
    token = tokens.create(session, "ci", "team", "read", NOW)
    first = tokens.revoke(session, token.id, NOW)
    assert tokens.revoke(session, token.id, NOW + timedelta(days=1)).revoked == first.revoked
    with pytest.raises(Unauthenticated, match="revoked"):
        tokens.verify(session, token.secret, NOW)
    assert [row.id for row in tokens.every(session)] == [token.id]
    with pytest.raises(NotFound, match="tok-0"):
        tokens.revoke(session, "tok-0", NOW)


@pytest.mark.parametrize("namespace", ["", "team/x", "..", "**", "team "])
def test_a_namespace_that_is_none_is_refused(session: Session, namespace: str) -> None:
    with pytest.raises(InvalidInput):
        tokens.create(session, "ci", namespace, "read", NOW)


def test_a_token_that_could_never_be_used_is_refused(session: Session) -> None:
    with pytest.raises(InvalidInput, match="never"):
        tokens.create(session, "ci", "team", "read", NOW, NOW)


@given(held=st.sampled_from(SCOPES), needed=st.sampled_from(SCOPES))
def test_a_scope_holds_the_ones_before_it(held: Scope, needed: Scope) -> None:
    principal = Principal("ci", "team", held, "tok-1")
    if SCOPES.index(held) >= SCOPES.index(needed):
        principal.require(needed)
    else:
        with pytest.raises(Forbidden, match=needed):
            principal.require(needed)


def test_the_embedded_token_is_kept_and_only_its_user_can_read_it(
    session: Session, tmp_path: Path
) -> None:
    file = tmp_path / "embedded.token"
    embedded.ensure(session, file, NOW)
    secret = file.read_text()
    embedded.ensure(session, file, NOW)
    assert file.read_text() == secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    holder = tokens.verify(session, secret, NOW)
    assert (holder.name, holder.namespace, holder.scope) == ("embedded", "*", "admin")


@pytest.mark.parametrize("spoil", ["readable", "revoked", "garbled"])
def test_an_embedded_token_that_is_not_to_be_trusted_is_made_anew(
    session: Session, tmp_path: Path, spoil: str
) -> None:
    file = tmp_path / "embedded.token"
    embedded.ensure(session, file, NOW)
    secret = file.read_text()
    left_over = file.with_name(f"{file.name}.tok-killed")
    left_over.write_text("a secret")
    match spoil:
        case "readable":
            file.chmod(0o644)
        case "revoked":
            tokens.revoke(session, tokens.every(session)[0].id, NOW)
        case "garbled":
            file.write_bytes(b"\xff\xfe")
    embedded.ensure(session, file, NOW)
    assert file.read_text() != secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tokens.verify(session, file.read_text(), NOW).scope == "admin"
    if spoil != "garbled":  # a token that nobody else could read is left alone
        with pytest.raises(Unauthenticated, match="revoked"):
            tokens.verify(session, secret, NOW)
    assert not left_over.exists()
