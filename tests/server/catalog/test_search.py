"""Pages of the search against a list that a test sorts and cuts itself, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bases import Shape, made
from support.catalogs import empty

from sparsegrad_server.catalog import Catalog, bases, tags
from sparsegrad_server.catalog.search import search
from sparsegrad_server.catalog.tables import VersionRow
from sparsegrad_shared.search import BasisQuery

START = datetime(2026, 1, 1, tzinfo=UTC)
SHAPES = [Shape("up", d_out=12), Shape("up", d_out=9)]
MADE = [
    made(seed, [SHAPES[seed % 2]], model=("acme/A", "acme/b")[seed // 2], dataset="d")
    for seed in range(4)
]
# What is published: a basis, a name, seconds (often the same), a tag or none.
PUBLISHED = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["team/a", "team/B", "team/a-b", "other/a"]),
        st.integers(0, 2),
        st.sampled_from([None, "x", "y"]),
    ),
    max_size=12,
)


@given(published=PUBLISHED, limit=st.integers(1, 5), shape=st.sampled_from(["12x*", "9x8", "*x*"]))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_are_the_sorted_list_cut_in_parts(
    catalog: Catalog, published: list[tuple[int, str, int, str | None]], limit: int, shape: str
) -> None:
    empty(catalog)
    rows: dict[tuple[str, int], tuple[int, datetime, set[str]]] = {}
    with catalog.writing() as session:
        for content, name, seconds, tag in published:
            time = START + timedelta(seconds=seconds)
            row = bases.add_version(
                session, MADE[content].manifest, *name.split("/"), by="me", now=time
            )
            tags.add(session, row, [] if tag is None else [tag])
            known = rows.setdefault((name, row.version), (content, time, set()))
            known[2].update(() if tag is None else (tag,))
    wanted = {"12x*": (12,), "9x8": (9,), "*x*": (9, 12)}[shape]

    def expected(word: str | None) -> list[str]:
        kept = [
            (name, version, time)
            for (name, version), (content, time, words) in rows.items()
            if SHAPES[content % 2].d_out in wanted and (word is None or word in words)
        ]
        # By rising name within a time, as the database sorts it; then by falling version.
        kept.sort(key=lambda row: (-row[2].timestamp(), *row[0].split("/"), -row[1]))
        return [f"{name}@{version}" for name, version, _ in kept]

    for word in (None, "x"):
        found, after = [], None
        while True:
            query = BasisQuery(
                shape=(shape,), tag=() if word is None else (word,), limit=limit, after=after
            )
            with catalog.reading() as session:
                page = search(session, query, "*")
            found += [str(version) for version in page.bases]
            after = page.next
            if after is None:
                break
            assert len(page.bases) == limit
        assert sorted(found) == sorted(expected(word))
        assert len(set(found)) == len(found)
        if catalog_sorts_by_code_point(catalog):
            assert found == expected(word)


def catalog_sorts_by_code_point(catalog: Catalog) -> bool:
    """Whether capital letters come before small ones, which is up to PostgreSQL's settings."""
    with catalog.reading() as session:
        return session.get_bind().dialect.name == "sqlite"


def test_a_deleted_version_is_on_no_page(catalog: Catalog) -> None:
    with catalog.writing() as session:
        for seed in range(3):
            time = START + timedelta(seconds=seed)
            bases.add_version(session, MADE[seed].manifest, "team", "a", by="me", now=time)
        session.get_one(VersionRow, ("team", "a", 2)).deleted = START
    with catalog.reading() as session:
        found = [version.version for version in search(session, BasisQuery(), "team").bases]
    assert found == [3, 1]
