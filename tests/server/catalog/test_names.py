"""What names mean, against a model: versions, aliases, pins and tags in any order of changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.orm import Session
from support.bases import made
from support.catalogs import empty

from sparsegrad_server.catalog import Catalog, aliases, bases, tags, versions
from sparsegrad_server.catalog.search import search
from sparsegrad_shared.calibrations import MAX_TAGS
from sparsegrad_shared.errors import (
    DeletedBasis,
    Forbidden,
    InvalidInput,
    PreconditionFailed,
    UnknownBasis,
    VersionInUse,
)
from sparsegrad_shared.references import BasisReference
from sparsegrad_shared.search import BasisQuery

MADE = [made(seed) for seed in range(4)]
ALIASES = ("prod", "staging")
WORDS = ("good", "bad")
VERSIONS = st.integers(1, 8)


class Model:
    """What one name should mean."""

    def __init__(self) -> None:
        self.contents: list[int] = []  # of version 1, 2, …
        self.deleted: set[int] = set()
        self.pinned: set[int] = set()
        self.tags: dict[int, set[str]] = {}
        self.aliases: dict[str, int] = {}
        self.protected: set[str] = set()
        self.history: dict[str, list[int | None]] = {alias: [] for alias in ALIASES}

    def state(self, version: int) -> str:
        if not 1 <= version <= len(self.contents):
            return "unknown"
        return "deleted" if version in self.deleted else "live"

    def live(self) -> list[int]:
        numbers = range(1, len(self.contents) + 1)
        return [number for number in numbers if number not in self.deleted]

    def absence(self, version: int) -> type[UnknownBasis]:
        return DeletedBasis if self.state(version) == "deleted" else UnknownBasis


class Names(RuleBasedStateMachine):
    """Every change is tried on the catalog and on the model; both must agree, refusals too."""

    def __init__(self, catalog: Catalog) -> None:
        super().__init__()
        self.catalog = catalog
        empty(catalog)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.model = Model()

    def tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def version(self, session: Session, number: int) -> versions.VersionRow:
        return versions.held(session, "team", "x", number)

    @rule(content=st.integers(0, len(MADE) - 1))
    def publish(self, content: int) -> None:
        with self.catalog.writing() as session:
            row = bases.add_version(
                session, MADE[content].manifest, "team", "x", by="me", now=self.tick()
            )
        same = [n for n in self.model.live() if self.model.contents[n - 1] == content]
        if not same:
            self.model.contents.append(content)
            same = [len(self.model.contents)]
        assert [row.version] == same

    @rule(
        alias=st.sampled_from(ALIASES), version=VERSIONS, right=st.booleans(), admin=st.booleans()
    )
    def move(self, alias: str, version: int, right: bool, admin: bool) -> None:
        present = self.model.aliases.get(alias)
        expected = present if right else (present or 0) + 1
        refusal: type[Exception] | None = None
        if self.model.state(version) != "live":
            refusal = self.model.absence(version)
        elif not right:
            refusal = PreconditionFailed
        elif alias in self.model.protected and not admin:
            refusal = Forbidden

        def change() -> None:
            with self.catalog.writing() as session:
                aliases.move(
                    session,
                    "team",
                    "x",
                    alias,
                    version=version,
                    expected=expected,
                    by="me",
                    now=self.tick(),
                    admin=admin,
                )

        if refusal is None:
            change()
            self.model.aliases[alias] = version
            self.model.history[alias].insert(0, version)
        else:
            with pytest.raises(refusal):
                change()

    @rule(alias=st.sampled_from(ALIASES), right=st.booleans(), admin=st.booleans())
    def delete_alias(self, alias: str, right: bool, admin: bool) -> None:
        present = self.model.aliases.get(alias)
        refusal: type[Exception] | None = None
        if present is None:
            refusal = DeletedBasis if self.model.history[alias] else UnknownBasis
        elif not right:
            refusal = PreconditionFailed
        elif alias in self.model.protected and not admin:
            refusal = Forbidden

        def change() -> None:
            with self.catalog.writing() as session:
                aliases.delete(
                    session,
                    "team",
                    "x",
                    alias,
                    expected=(present or 1) if right else (present or 1) + 1,
                    by="me",
                    now=self.tick(),
                    admin=admin,
                )

        if refusal is None:
            change()
            del self.model.aliases[alias]
            self.model.protected.discard(alias)
            self.model.history[alias].insert(0, None)
        else:
            with pytest.raises(refusal):
                change()

    @rule(alias=st.sampled_from(ALIASES), protected=st.booleans())
    def protect(self, alias: str, protected: bool) -> None:
        with self.catalog.writing() as session:
            if alias not in self.model.aliases:
                with pytest.raises(UnknownBasis):
                    aliases.protect(session, "team", "x", alias, protected=protected)
                return
            assert (
                aliases.protect(session, "team", "x", alias, protected=protected).protected
                is protected
            )
        (self.model.protected.add if protected else self.model.protected.discard)(alias)

    @rule(version=VERSIONS, pinned=st.booleans())
    def pin(self, version: int, pinned: bool) -> None:
        with self.catalog.writing() as session:
            if self.model.state(version) != "live":
                with pytest.raises(self.model.absence(version)):
                    self.version(session, version)
                return
            self.version(session, version).pinned = pinned
        (self.model.pinned.add if pinned else self.model.pinned.discard)(version)

    @rule(version=VERSIONS, word=st.sampled_from(WORDS), present=st.booleans())
    def tag(self, version: int, word: str, present: bool) -> None:
        if self.model.state(version) != "live":
            return
        with self.catalog.writing() as session:
            row = self.version(session, version)
            if present:
                tags.add(session, row, [word])
            else:
                tags.remove(session, row, word)
        words = self.model.tags.setdefault(version, set())
        (words.add if present else words.discard)(word)

    @rule(version=VERSIONS)
    def delete_version(self, version: int) -> None:
        refusal: type[Exception] | None = None
        if self.model.state(version) != "live":
            refusal = self.model.absence(version)
        elif version in self.model.aliases.values() or version in self.model.pinned:
            refusal = VersionInUse

        def change() -> None:
            with self.catalog.writing() as session:
                versions.delete(session, self.version(session, version), self.tick())

        if refusal is None:
            change()
            self.model.deleted.add(version)
        else:
            with pytest.raises(refusal):
                change()

    @invariant()
    def versions_are_those_of_the_model(self) -> None:
        with self.catalog.reading() as session:
            found = search(session, BasisQuery(), "*").bases
        live = self.model.live()
        assert sorted(basis.version for basis in found) == live
        for basis in found:
            number = basis.version
            assert basis.digest == MADE[self.model.contents[number - 1]].digest
            assert basis.pinned == (number in self.model.pinned)
            assert set(basis.tags) == self.model.tags.get(number, set())
            assert set(basis.aliases) == {
                alias for alias, target in self.model.aliases.items() if target == number
            }

    @invariant()
    def aliases_are_those_of_the_model_with_their_whole_history(self) -> None:
        with self.catalog.reading() as session:
            for alias in ALIASES:
                history = self.model.history[alias]
                if alias not in self.model.aliases:
                    expected = DeletedBasis if history else UnknownBasis
                    with pytest.raises(expected):
                        aliases.status(session, "team", "x", alias)
                    continue
                status = aliases.status(session, "team", "x", alias)
                assert status.version == self.model.aliases[alias]
                assert status.protected == (alias in self.model.protected)
                assert [change.version for change in status.history] == history
                reference = BasisReference("team", "x", alias=alias)
                assert bases.resolve(session, reference, "team").version == status.version


def test_names_mean_what_the_model_says(catalog: Catalog) -> None:
    run_state_machine_as_test(
        lambda: Names(catalog),
        settings=settings(max_examples=15, stateful_step_count=30),
    )


def test_a_version_takes_only_so_many_tags(catalog: Catalog) -> None:
    with catalog.writing() as session:
        row = bases.add_version(
            session, MADE[0].manifest, "team", "x", by="me", now=datetime.now(UTC)
        )
        tags.add(session, row, [f"tag-{number}" for number in range(MAX_TAGS)])
        tags.add(session, row, ["tag-0"])  # which it has
        with pytest.raises(InvalidInput, match="has 64 tags, and 1 more"):
            tags.add(session, row, ["one-more"])


def test_a_name_that_has_nothing_has_no_aliases(catalog: Catalog) -> None:
    with catalog.reading() as session, pytest.raises(UnknownBasis, match="published as team/none"):
        aliases.every(session, "team", "none")
